/** A pool's document, read and written as libvirt does (storage_conf.c). Elements that are not known are passed over, as there. */

import { MAX_CONFIG_BYTES, MAX_POOL_SOURCES } from '../../../base/limits.js';
import { newUuid } from '../../../xenner/domain/identity.js';
import { isFileName } from '../../state/definitions.js';
import { parseXml, type XmlElement } from '../../xml/tree.js';
import { XmlWriter } from '../../xml/writer.js';
import { NO_SIZES, type PoolDefinition, type PoolSizes, type PoolSource } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { isPoolType, POOL_TYPE_NAMES, type PoolTypeName, poolType } from './pool-types.js';
import { checkIscsiName, readAdapter, readInitiator, refuseAuth, writeAdapter } from './source-xml.js';
import { pathOf, readPermissions, textOf, writePermissions, xmlError } from './xml-fields.js';

const UUID = /^\s*([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\s*$/i;

/** The root of a document. @throws PoolError VIR_ERR_XML_ERROR */
export function parseDocument(text: string, root: string): XmlElement {
  if (text.length > MAX_CONFIG_BYTES) throw new PoolError('VIR_ERR_XML_ERROR', 'the document is too large');
  const element = parseXml(text, 'VIR_ERR_XML_ERROR');
  if (element.name === root) return element;
  throw xmlError(element, `unexpected root element <${element.name}>, expecting <${root}>`);
}

/** @throws PoolError VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED */
export function readPool(text: string): PoolDefinition {
  const root = parseDocument(text, 'pool');
  const type = readType(root);
  const source = readSource(root.find('source') ?? root, type);
  const takesName = poolType(type).source.includes('name');
  const name = textOf(root, 'name') ?? (takesName ? source.name : undefined);
  if (name === undefined) throw xmlError(root, 'missing pool source name element');
  if (!isFileName(name))
    throw xmlError(
      root.find('name') ?? root,
      `${quoted(name)} is no name for a pool: no '/', no dot first, up to 200 bytes`,
    );
  const named = takesName ? { ...source, name: checkVolumeGroup(root, source.name ?? name) } : source;
  return {
    type,
    name,
    uuid: readUuid(root),
    source: named,
    target: { path: readTarget(root, type, named), permissions: readPermissions(root.find('target')) },
  };
}

function readType(root: XmlElement): PoolTypeName {
  const type = root.get('type');
  if (type === undefined) throw xmlError(root, 'storage pool missing type attribute');
  if (isPoolType(type)) return type;
  throw new PoolError(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `line ${root.line}: unknown storage pool type ${quoted(type)}`,
    `there are ${POOL_TYPE_NAMES.join(', ')}`,
  );
}

function readUuid(root: XmlElement): string {
  const text = textOf(root, 'uuid');
  if (text === undefined) return newUuid();
  const parts = UUID.exec(text);
  if (parts === null) throw xmlError(root.find('uuid')!, 'malformed uuid element');
  return parts.slice(1).join('-').toLowerCase();
}

function readTarget(root: XmlElement, type: PoolTypeName, source: PoolSource): string {
  const fixed = poolType(type).target?.(source.name ?? '');
  if (fixed !== undefined) return fixed;
  const element = root.find('target', 'path');
  if (!element?.text) throw xmlError(root, 'missing storage pool target path');
  return pathOf(element, element.text);
}

/** Names of LVM are parts of paths, and of command lines (lvm(8), VALID NAMES). */
function checkVolumeGroup(element: XmlElement, name: string): string {
  if (/^(?!\.\.?$)[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,126}$/.test(name)) return name;
  throw xmlError(element, `${quoted(name)} is no name for a volume group`);
}

/** What every <source> of this type has. A whole document's, or a search's. */
export function readSource(element: XmlElement, type: PoolTypeName, isSearch = false): PoolSource {
  const { source: parts, formats } = poolType(type);
  const format = element.find('format')?.get('type') ?? formats?.[0];
  if (formats !== undefined && !formats.includes(format!))
    throw new PoolError(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `line ${element.line}: unknown pool format type ${quoted(format!)}`,
      `there are ${formats.join(', ')}`,
    );
  refuseAuth(element);
  const hosts = element.all('host').slice(0, MAX_POOL_SOURCES).map(readHost);
  const devices = element
    .all('device')
    .slice(0, MAX_POOL_SOURCES)
    .map((device) => readDevice(device, type));
  const dir = element.find('dir')?.get('path');
  if (!isSearch && parts.includes('host') && hosts.length === 0)
    throw xmlError(element, 'missing storage pool source host name');
  if (!isSearch && parts.includes('dir') && dir === undefined)
    throw xmlError(element, 'missing storage pool source path');
  if (!isSearch && parts.includes('device') && !parts.includes('name') && devices.length === 0)
    throw xmlError(element, 'missing storage pool source device name');
  return {
    hosts,
    devices,
    adapter: !isSearch && parts.includes('adapter') ? readAdapter(element) : undefined,
    initiator: parts.includes('initiator') ? readInitiator(element) : undefined,
    dir: dir === undefined ? undefined : pathOf(element, dir),
    name: element.name === 'source' ? textOf(element, 'name') : undefined,
    format: formats === undefined ? undefined : format,
    protocolVersion: readProtocol(element),
    vendor: element.find('vendor')?.get('name'),
    product: element.find('product')?.get('name'),
  };
}

function readProtocol(source: XmlElement): string | undefined {
  const version = source.find('protocol')?.get('ver');
  if (version === undefined || /^\d{1,2}(\.\d{1,2})?$/.test(version)) return version;
  throw xmlError(source, `storage pool protocol ver ${quoted(version)} is malformed`);
}

function readHost(element: XmlElement): PoolSource['hosts'][number] {
  const name = element.get('name');
  if (name === undefined) throw xmlError(element, 'missing storage pool host name');
  const port = element.get('port');
  if (port !== undefined && (!/^\d{1,5}$/.test(port) || Number(port) > 65_535))
    throw xmlError(element, `Invalid port number: ${quoted(port)}`);
  return { name, port: port === undefined ? undefined : Number(port) };
}

function readDevice(element: XmlElement, type: PoolTypeName): string {
  const path = element.get('path');
  if (path === undefined) throw xmlError(element, 'missing storage pool source device path');
  return type === 'iscsi' ? checkIscsiName(element, path) : pathOf(element, path);
}

/** @param sizes of a pool that runs */
export function writePool(pool: PoolDefinition, sizes: PoolSizes = NO_SIZES): string {
  const xml = new XmlWriter();
  xml.element('pool', { type: pool.type }, () => {
    xml.leaf('name', {}, pool.name).leaf('uuid', {}, pool.uuid);
    for (const size of ['capacity', 'allocation', 'available'] as const)
      xml.leaf(size, { unit: 'bytes' }, sizes[size]);
    writeSource(xml, pool.type, pool.source, sizes);
    xml.element('target', {}, () => {
      xml.leaf('path', {}, pool.target.path);
      writePermissions(xml, pool.target.permissions);
    });
  });
  return xml.text;
}

function writeSource(xml: XmlWriter, type: PoolTypeName, source: PoolSource, sizes = NO_SIZES): void {
  const { source: parts, formats } = poolType(type);
  const { hosts, devices, dir, adapter, initiator, name, format, protocolVersion, vendor, product } = source;
  xml.element('source', {}, () => {
    if (parts.includes('host')) for (const host of hosts) xml.leaf('host', { ...host });
    if (parts.includes('device')) for (const path of devices) writeDevice(xml, path, sizes);
    if (parts.includes('dir') && dir !== undefined) xml.leaf('dir', { path: dir });
    if (adapter !== undefined) writeAdapter(xml, adapter);
    if (parts.includes('name')) xml.optional('name', name);
    if (initiator !== undefined) xml.element('initiator', {}, () => xml.leaf('iqn', { name: initiator }));
    if (formats !== undefined) xml.leaf('format', { type: format });
    if (protocolVersion !== undefined) xml.leaf('protocol', { ver: protocolVersion });
    if (vendor !== undefined) xml.leaf('vendor', { name: vendor });
    if (product !== undefined) xml.leaf('product', { name: product });
  });
}

function writeDevice(xml: XmlWriter, path: string, { freeExtents = [] }: PoolSizes): void {
  if (freeExtents.length === 0) xml.leaf('device', { path });
  else
    xml.element('device', { path }, () => {
      for (const { start, end } of freeExtents) xml.leaf('freeExtent', { start, end });
    });
}

/** What a search has found (virStoragePoolSourceListFormat). */
export function writeSources(type: PoolTypeName, sources: readonly PoolSource[]): string {
  const xml = new XmlWriter();
  return xml.element('sources', {}, () => {
    for (const source of sources) writeSource(xml, type, source);
  }).text;
}
