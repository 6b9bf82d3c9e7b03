/** A volume's document, read and written as libvirt does (storage_conf.c). */
import type { XmlElement } from '../../xml/tree.js';
import { XmlWriter } from '../../xml/writer.js';
import type { BackingStore, NewVolume, Timestamps, VolumeDefinition } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { parseDocument } from './pool-xml.js';
import { bytesOf, pathOf, readPermissions, textOf, writePermissions, xmlError } from './xml-fields.js';

/** That can be made, by libvirt's names: `vpc` is a VHD. */
export const VOLUME_FORMATS = ['raw', 'qcow2', 'vpc', 'dir'] as const;
const FEATURES = ['lazy_refcounts', 'extended_l2'];

/** @throws PoolError VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OVERFLOW, VIR_ERR_INVALID_ARG */
export function readVolume(text: string): NewVolume {
  const root = parseDocument(text, 'volume');
  const name = textOf(root, 'name');
  if (name === undefined) throw xmlError(root, 'missing volume name element');
  const backing = readBacking(root);
  const capacityElement = root.find('capacity');
  if (capacityElement === undefined && backing === undefined)
    throw xmlError(root, 'missing capacity element');
  const capacity = capacityElement === undefined ? 0 : bytesOf(capacityElement);
  const allocation = root.find('allocation');
  return {
    name,
    capacity,
    allocation: allocation === undefined ? capacity : bytesOf(allocation),
    format: root.find('target', 'format')?.get('type') ?? 'raw',
    permissions: readPermissions(root.find('target')),
    compat: readCompat(root),
    features: readFeatures(root),
    clusterBytes: readClusterBytes(root),
    backing,
  };
}

function readBacking(root: XmlElement): NewVolume['backing'] {
  const path = root.find('backingStore', 'path');
  if (!path?.text) return undefined;
  return {
    path: pathOf(path, path.text),
    format: root.find('backingStore', 'format')?.get('type') ?? 'raw',
  };
}

function readCompat(root: XmlElement): string | undefined {
  const compat = textOf(root, 'target', 'compat');
  if (compat === undefined || compat === '0.10' || compat === '1.1') return compat;
  throw xmlError(root.find('target', 'compat')!, `compat ${quoted(compat)} is neither 0.10 nor 1.1`);
}

function readFeatures(root: XmlElement): string[] {
  const features = root.find('target', 'features')?.children.map(({ name }) => name) ?? [];
  const unknown = features.find((name) => !FEATURES.includes(name));
  if (unknown === undefined) return features;
  throw new PoolError('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported feature ${quoted(unknown)}`);
}

function readClusterBytes(root: XmlElement): number | undefined {
  const element = root.find('target', 'clusterSize');
  return element === undefined ? undefined : bytesOf(element);
}

export function writeVolume(volume: VolumeDefinition): string {
  const xml = new XmlWriter();
  const { type, name, key, extents, target, backing } = volume;
  xml.element('volume', { type }, () => {
    xml.leaf('name', {}, name).leaf('key', {}, key);
    if (extents !== undefined) writeExtents(xml, extents);
    for (const size of ['capacity', 'allocation'] as const) xml.leaf(size, { unit: 'bytes' }, volume[size]);
    if (volume.physical) xml.leaf('physical', { unit: 'bytes' }, volume.physical);
    xml.element('target', {}, () => {
      writeStore(xml, target);
      if (target.encryption !== undefined) xml.element('encryption', { format: target.encryption }, () => {});
      xml.optional('compat', target.compat);
      if (target.clusterBytes !== undefined) xml.leaf('clusterSize', { unit: 'B' }, target.clusterBytes);
      const { features } = target;
      if (features?.length === 0) xml.leaf('features', {});
      else if (features !== undefined)
        xml.element('features', {}, () => {
          for (const each of features) xml.leaf(each, {});
        });
    });
    if (backing !== undefined) xml.element('backingStore', {}, () => writeStore(xml, backing));
  });
  return xml.text;
}

function writeStore(xml: XmlWriter, store: BackingStore): void {
  const { path, format, formatName = format, permissions, timestamps } = store;
  xml.leaf('path', {}, path);
  if (formatName !== null) xml.leaf('format', { type: formatName });
  if (permissions !== undefined) writePermissions(xml, permissions);
  if (timestamps !== undefined) writeTimestamps(xml, timestamps);
}

function writeTimestamps(xml: XmlWriter, { atime, mtime, ctime }: Timestamps): void {
  xml.element('timestamps', {}, () => {
    // libvirt knows no birth times on Linux, and says so by 0.
    for (const [name, time] of Object.entries({ atime, mtime, ctime, btime: 0n })) {
      const fraction = time % 10n ** 9n;
      const behind = fraction === 0n ? '' : `.${String(fraction).padStart(9, '0')}`;
      xml.leaf(name, {}, `${time / 10n ** 9n}${behind}`);
    }
  });
}

function writeExtents(xml: XmlWriter, extents: NonNullable<VolumeDefinition['extents']>): void {
  const devices = [...new Set(extents.map(({ path }) => path))];
  xml.element('source', {}, () => {
    for (const path of devices) {
      xml.element('device', { path }, () => {
        for (const { start, end } of extents.filter((each) => each.path === path))
          xml.leaf('extent', { start, end });
      });
    }
  });
}
