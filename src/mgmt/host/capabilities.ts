/** What the host is and which guests it runs, as libvirt's document (https://libvirt.org/formatcaps.html). */
import { readdirSync } from 'node:fs';
import { machine } from 'node:os';
import { hostMemory } from '../../kvm/index.js';
import { XmlWriter } from '../xml/writer.js';
import { cacheBanks } from './caches.js';
import { type Cell, cells, SMALL_PAGE_KIB } from './cells.js';
import { cpuIdentity, cpuPlace } from './cpus.js';
import { formatList, type HostFiles, THIS_HOST } from './host-files.js';
import { nodeInfo } from './node-info.js';

/**
 * Different from what libvirt's QEMU driver says of the same host, on purpose: no names of a CPU model and its features, which come from
 * a map of libvirt's own; no frequency of the TSC; no migration; no memory-side caches and interconnects of nodes; power management is
 * what /sys/power offers. The host's UUID is its firmware's, or /etc/machine-id: never one made up for the occasion.
 */
export function capabilitiesXml(host: HostFiles = THIS_HOST): string {
  const xml = new XmlWriter();
  xml.element('capabilities', {}, () => {
    xml.blank().element('host', {}, () => {
      xml.optional('uuid', hostUuid(host));
      writeCpu(xml, host);
      writePower(xml, host);
      xml.leaf('iommu', { support: hasIommu(host) ? 'yes' : 'no' });
      writeTopology(xml, host);
      writeCaches(xml, host);
      xml.element('secmodel', {}, () => xml.leaf('model', {}, 'none').leaf('doi', {}, 0));
    });
    xml.blank();
    xml.element('guest', {}, () => writeGuest(xml)).blank();
  });
  return xml.text;
}

export function hasIommu(host: HostFiles = THIS_HOST): boolean {
  try {
    return readdirSync(host.path('sys/kernel/iommu_groups')).length > 0;
  } catch {
    return false;
  }
}

/** Firmware of some boards has one digit everywhere, which is nobody's (virGetHostUUID refuses it too). */
function hostUuid(host: HostFiles): string | undefined {
  const ids = ['sys/devices/virtual/dmi/id/product_uuid', 'etc/machine-id'].map((path) => host.text(path));
  for (const id of ids) {
    const digits = id?.replaceAll('-', '').toLowerCase() ?? '';
    if (/^[0-9a-f]{32}$/.test(digits) && !/^(.)\1*$/.test(digits))
      return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }
  return undefined;
}

function writeCpu(xml: XmlWriter, host: HostFiles): void {
  const { vendor, microcode, family, modelNumber, stepping, physicalAddressBits } = cpuIdentity(host);
  const { sockets, cores, threads } = nodeInfo(host);
  const pools = hostMemory(host.path('sys')).hugepages.map(({ sizeKiB }) => sizeKiB);
  xml.element('cpu', {}, () => {
    xml.leaf('arch', {}, machine()).optional('vendor', vendor);
    if (microcode !== undefined) xml.leaf('microcode', { version: microcode });
    if (family !== undefined && modelNumber !== undefined && stepping !== undefined)
      xml.leaf('signature', { family, model: modelNumber, stepping });
    xml.leaf('topology', { sockets, dies: 1, cores, threads });
    if (physicalAddressBits !== undefined)
      xml.leaf('maxphysaddr', { mode: 'emulate', bits: physicalAddressBits });
    for (const size of [SMALL_PAGE_KIB, ...pools]) xml.leaf('pages', { unit: 'KiB', size });
  });
}

/** Documentation/ABI/testing/sysfs-power. */
function writePower(xml: XmlWriter, host: HostFiles): void {
  const states = (host.text('sys/power/state') ?? '').split(' ');
  const names = [
    states.includes('mem') ? ['suspend_mem'] : [],
    states.includes('disk') ? ['suspend_disk'] : [],
  ].flat();
  if (names.length === 0) xml.leaf('power_management', {});
  else
    xml.element('power_management', {}, () => {
      for (const name of names) xml.leaf(name, {});
    });
}

function writeTopology(xml: XmlWriter, host: HostFiles): void {
  const all = cells(host);
  xml.element('topology', {}, () => {
    xml.element('cells', { num: all.length }, () => {
      for (const cell of all) writeCell(xml, cell, host);
    });
  });
}

function writeCell(xml: XmlWriter, { id, memoryKiB, pages, distances, cpus }: Cell, host: HostFiles): void {
  xml.element('cell', { id }, () => {
    xml.leaf('memory', { unit: 'KiB' }, memoryKiB);
    for (const { sizeKiB, total } of pages) xml.leaf('pages', { unit: 'KiB', size: sizeKiB }, total);
    if (distances.length > 0)
      xml.element('distances', {}, () => {
        for (const { cell, value } of distances) xml.leaf('sibling', { id: cell, value });
      });
    xml.element('cpus', { num: cpus.length }, () => {
      for (const cpu of cpus) {
        const { socket, die, core, siblings } = cpuPlace(cpu, host);
        const place = { socket_id: socket, die_id: die, core_id: core, siblings: formatList(siblings) };
        xml.leaf('cpu', { id: cpu, ...place });
      }
    });
  });
}

function writeCaches(xml: XmlWriter, host: HostFiles): void {
  const banks = cacheBanks(host);
  if (banks.length === 0) return;
  xml.element('cache', {}, () => {
    for (const { id, level, type, sizeKiB, cpus } of banks) {
      const [size, unit] = sizeKiB % 1024 === 0 ? [sizeKiB / 1024, 'MiB'] : [sizeKiB, 'KiB'];
      xml.leaf('bank', { id, level, type, size, unit, cpus: formatList(cpus) });
    }
  });
}

/** As libvirt's driver for Xen has its PV guests. */
function writeGuest(xml: XmlWriter): void {
  xml.leaf('os_type', {}, 'xen').element('arch', { name: 'x86_64' }, () => {
    xml.leaf('wordsize', {}, 64).leaf('machine', {}, 'xenpv').leaf('domain', { type: 'xen' });
  });
}
