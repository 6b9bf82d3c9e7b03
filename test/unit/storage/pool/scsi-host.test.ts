/** SCSI hosts and Fibre Channel's virtual ones, in a folder that stands for sysfs: nobody here has such hardware. */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { createVport, deleteVport, listFcHosts } from '../../../../src/mgmt/storage/pool/npiv.js';
import { readPool, writePool } from '../../../../src/mgmt/storage/pool/pool-xml.js';
import { scsiPools } from '../../../../src/mgmt/storage/pool/scsi.js';
import { hostOfAdapter, logicalUnits, rescanHost } from '../../../../src/mgmt/storage/pool/scsi-host.js';
import { createVhba, destroyVhba } from '../../../../src/mgmt/storage/pool/vhba.js';
import { scratch } from '../scratch.js';

const at = scratch();
const sys = at('sys');
const PARENT = { wwnn: '20000000c9831b4b', wwpn: '10000000c9831b4b' };
const VHBA = { wwnn: '5001a4a93526d0a1', wwpn: '5001a4ace3ee045d' };

/** Files with what is in them. */
function put(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(`${sys}/${name}`), { recursive: true });
    writeFileSync(`${sys}/${name}`, `${text}\n`);
  }
}

const fcHost = (number: number, { wwnn, wwpn }: typeof PARENT) => ({
  [`class/fc_host/host${number}/node_name`]: `0x${wwnn}`,
  [`class/fc_host/host${number}/port_name`]: `0x${wwpn}`,
  [`class/fc_host/host${number}/fabric_name`]: '0x2002000573de9a81',
  [`class/fc_host/host${number}/port_state`]: 'Online',
});

beforeEach(() => {
  rmSync(sys, { recursive: true, force: true });
  put({
    ...fcHost(5, PARENT),
    'class/fc_host/host5/max_npiv_vports': '127',
    'class/fc_host/host5/npiv_vports_inuse': '0',
    'class/fc_host/host5/vport_create': '',
    'class/fc_host/host5/vport_delete': '',
    'class/fc_host/hostile/node_name': '0x',
    'class/scsi_host/host5/scan': '',
    'bus/scsi/devices/5:0:2:1/type': '0',
    'bus/scsi/devices/5:0:2:1/block/sdc/size': '8',
    'bus/scsi/devices/5:0:10:0/type': '5',
    'bus/scsi/devices/5:0:10:0/block/sr0/size': '8',
    'bus/scsi/devices/5:0:2:0/type': '13',
    'bus/scsi/devices/5:0:3:0/type': '0',
    'bus/scsi/devices/6:0:0:0/type': '0',
    'bus/scsi/devices/host5/type': '0',
    'bus/scsi/devices/target5:0:2/x': '',
  });
});

const operation = (name: 'vport_create' | 'vport_delete') =>
  readFileSync(`${sys}/class/fc_host/host5/${name}`, 'latin1').trim();

describe('a SCSI host', () => {
  it('has disks and CD-ROMs, in the order of their addresses', () => {
    expect(logicalUnits(sys, 5)).toEqual([
      { name: 'unit:0:2:1', block: 'sdc' },
      { name: 'unit:0:10:0', block: 'sr0' },
    ]);
    expect(logicalUnits(sys, 6)).toEqual([]);
    expect(logicalUnits(at('nowhere'), 5)).toEqual([]);
  });

  it('is rescanned on all channels', () => {
    rescanHost(sys, 5);
    expect(readFileSync(`${sys}/class/scsi_host/host5/scan`, 'latin1')).toMatch(/^- - -/);
    expect(() => rescanHost(sys, 7)).toThrow(/cannot write .*host7\/scan/);
  });

  it('is found by its name, and by its place', () => {
    for (const name of ['host5', 'scsi_host5'])
      expect(hostOfAdapter(sys, { type: 'scsi_host', name })).toBe(5);
    expect(() => hostOfAdapter(sys, { type: 'scsi_host', name: 'host55' })).toThrow(/no SCSI host "host55"/);
    put({ 'devices/pci0000:00/0000:00:1f.2/host8/unique_id': '2' });
    symlinkSync('../../devices/pci0000:00/0000:00:1f.2/host8', `${sys}/class/scsi_host/host8`);
    const parentAddress = { address: '0000:00:1f.2', uniqueId: 2 };
    expect(hostOfAdapter(sys, { type: 'scsi_host', parentAddress })).toBe(8);
    const other = { ...parentAddress, uniqueId: 3 };
    expect(() => hostOfAdapter(sys, { type: 'scsi_host', parentAddress: other })).toThrow(/no SCSI host/);
  });
});

describe('a virtual host adapter', () => {
  it('is listed with its parent', () => {
    put(fcHost(9, VHBA));
    expect(listFcHosts(sys)).toEqual([
      {
        name: 'scsi_host5',
        ...PARENT,
        fabricWwn: '2002000573de9a81',
        state: 'Online',
        vports: { max: 127, inUse: 0 },
      },
      { name: 'scsi_host9', ...VHBA, fabricWwn: '2002000573de9a81', state: 'Online', vports: undefined },
    ]);
  });

  it('is made where there is room, and belongs to whoever made it', () => {
    const made = createVport(sys, { type: 'fc_host', ...VHBA });
    expect(made).toEqual({ type: 'fc_host', ...VHBA, parent: 'scsi_host5', managed: true });
    expect(operation('vport_create')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
  });

  it('that is there is used as it is', () => {
    put(fcHost(9, VHBA));
    expect(createVport(sys, { type: 'fc_host', ...VHBA })).toEqual({ type: 'fc_host', ...VHBA });
    expect(operation('vport_create')).toBe('');
  });

  it.each([
    ['a parent that is not there', 'scsi_host7', {}],
    ['a parent without room', 'scsi_host5', { 'class/fc_host/host5/npiv_vports_inuse': '127' }],
    ['a parent without a link', 'scsi_host5', { 'class/fc_host/host5/port_state': 'Linkdown' }],
    ['no parent that can', undefined, { 'class/fc_host/host5/port_state': 'Linkdown' }],
  ])('is refused with %s', (_, parent, files) => {
    put(files as Record<string, string>);
    expect(() => createVport(sys, { type: 'fc_host', ...VHBA, parent })).toThrow(
      /can have a virtual adapter/,
    );
    expect(operation('vport_create')).toBe('');
  });

  it('is deleted by its parent, once', () => {
    deleteVport(sys, { type: 'fc_host', ...VHBA, parent: 'scsi_host5' });
    expect(operation('vport_delete')).toBe('');
    put(fcHost(9, VHBA));
    deleteVport(sys, { type: 'fc_host', ...VHBA, parent: 'scsi_host5' });
    expect(operation('vport_delete')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
  });

  it('has old drivers’ files where they are', () => {
    rmSync(`${sys}/class/fc_host/host5/max_npiv_vports`);
    put({ 'class/scsi_host/host5/max_npiv_vports': '3', 'class/scsi_host/host5/vport_create': '' });
    createVport(sys, { type: 'fc_host', ...VHBA });
    expect(readFileSync(`${sys}/class/scsi_host/host5/vport_create`, 'latin1').trim()).toBe(
      `${VHBA.wwpn}:${VHBA.wwnn}`,
    );
  });
});

describe('a node device', () => {
  const document = (inside: string) =>
    `<device><parent>scsi_host5</parent><capability type='scsi_host'>${inside}</capability></device>`;
  const fc = (wwnn: string) =>
    document(`<capability type='fc_host'><wwnn>${wwnn}</wwnn><wwpn>${VHBA.wwpn}</wwpn></capability>`);

  it('is a virtual adapter, made and taken away by its names', () => {
    // The file is no driver: nothing appears.
    expect(() => createVhba(fc(VHBA.wwnn), sys)).toThrow(/there is no SCSI host/);
    expect(operation('vport_create')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
    const below = 'devices/pci0000:00/0000:03:00.0/host5/vport-5:0-0/host9/fc_host/host9';
    const files = Object.entries(fcHost(9, VHBA)).map(([name, text]) => [
      `${below}/${name.split('/')[3]}`,
      text,
    ]);
    put(Object.fromEntries(files));
    symlinkSync(`../../${below}`, `${sys}/class/fc_host/host9`);
    expect(createVhba(fc(VHBA.wwnn), sys)).toBe('scsi_host9');
    destroyVhba('scsi_host9', sys);
    expect(operation('vport_delete')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
    put({ 'class/fc_host/host5/vport_delete': '' });
    destroyVhba(`${VHBA.wwnn},${VHBA.wwpn}`, sys);
    expect(operation('vport_delete')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
  });

  it.each([
    ['<device/>', /no capability fc_host/],
    [document(''), /no capability fc_host/],
    [fc('x'), /malformed wwnn/],
    [fc(VHBA.wwnn).replace('scsi_host5', '../x'), /invalid parent/],
  ])('is not made of %s', (xml, message) => {
    expect(() => createVhba(xml, sys)).toThrow(message);
  });

  it('that is a real adapter, or none, is not taken away', () => {
    expect(() => destroyVhba('scsi_host5', sys)).toThrow(/is no virtual adapter/);
    expect(() => destroyVhba('scsi_host77', sys)).toThrow(/there is no adapter/);
  });
});

describe('a pool of the type scsi', () => {
  const pool = (adapter: string) =>
    readPool(
      `<pool type='scsi'><name>p</name><source>${adapter}</source><target><path>/dev</path></target></pool>`,
    );

  it.each([
    ["<adapter name='host3'/>", "<adapter type='scsi_host' name='host3'/>"],
    ["<adapter type='scsi_host' name='scsi_host3'/>", "<adapter type='scsi_host' name='scsi_host3'/>"],
    [
      "<adapter type='scsi_host'><parentaddr unique_id='2'><address domain='0' bus='0x0' slot='0x1f' function='2'/></parentaddr></adapter>",
      `<adapter type='scsi_host'>
      <parentaddr unique_id='2'>
        <address domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/>
      </parentaddr>
    </adapter>`,
    ],
    [
      `<adapter type='fc_host' wwnn='${VHBA.wwnn.toUpperCase()}' wwpn='${VHBA.wwpn}' parent='scsi_host5' managed='yes'/>`,
      `<adapter type='fc_host' parent='scsi_host5' managed='yes' wwnn='${VHBA.wwnn}' wwpn='${VHBA.wwpn}'/>`,
    ],
  ])('says which adapter: %s', (text, written) => {
    const document = writePool(pool(text));
    expect(document).toContain(`    ${written}\n`);
    expect(writePool(readPool(document))).toBe(document);
  });

  it.each([
    ['', /missing storage pool source adapter/],
    ['<adapter/>', /missing storage pool source adapter name/],
    ["<adapter name='../host3'/>", /invalid adapter name/],
    ["<adapter type='x' name='host3'/>", /unknown pool adapter type/],
    ["<adapter type='fc_host' wwnn='1' wwpn='2'/>", /malformed wwnn/],
    [`<adapter type='fc_host' wwnn='${VHBA.wwnn}' wwpn='${VHBA.wwpn}' parent='../x'/>`, /invalid parent/],
    ["<adapter><parentaddr unique_id='1'><address bus='0x1ff'/></parentaddr></adapter>", /malformed bus/],
  ])('refuses %s', (adapter, message) => {
    expect(() => pool(adapter)).toThrow(message);
  });

  it('makes its virtual adapter when it starts, and ends it when it stops', async () => {
    const backend = scsiPools(sys);
    const definition = pool(`<adapter type='fc_host' wwnn='${VHBA.wwnn}' wwpn='${VHBA.wwpn}'/>`);
    // The file is no driver: nothing appears.
    await expect(backend.start!(definition)).rejects.toThrow(/there is no SCSI host with wwnn/);
    expect(operation('vport_create')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
    put({ ...fcHost(9, VHBA), 'class/scsi_host/host9/scan': '' });
    const managed = await backend.start!(
      pool(`<adapter type='fc_host' wwnn='${VHBA.wwnn}' wwpn='${VHBA.wwpn}'
      parent='scsi_host5' managed='yes'/>`),
    );
    expect(existsSync(`${sys}/class/scsi_host/host9/scan`)).toBe(true);
    await backend.stop!(managed);
    expect(operation('vport_delete')).toBe(`${VHBA.wwpn}:${VHBA.wwnn}`);
  });
});
