/** LVM2 as its own tools lay it out: linear and striped volumes over two partitions of one disk. */
import { openSync, readSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { LvmSection } from '../../../src/mgmt/guestfs/lvm/metadata-text.js';
import { parseLvmText } from '../../../src/mgmt/guestfs/lvm/metadata-text.js';
import { extOf, openImage, partitioned } from './lib/boot-disks.js';
import { missing } from './lib/host-tree.js';
import { blank, closeDisks, run, scratch } from './lib/images.js';

const MIB = 2 ** 20;

describe('metadata text', () => {
  const plain = ({ values, sections }: LvmSection): object => ({
    ...Object.fromEntries(values),
    ...Object.fromEntries([...sections].map(([name, section]) => [name, plain(section)])),
  });

  it('sections, numbers, strings, lists, comments', () => {
    const text =
      '# c\nvg-0 {\n\tid = "a\\"b" # tail "x"\n\tn = -1\n\tlist = ["pv0", 0,\n"pv1",3]\n\te=[]\n\tlv.1 { a = 1.5 }\n}\nversion=1\0';
    expect(plain(parseLvmText(text.replace('\0', '')))).toEqual({
      version: 1,
      'vg-0': { id: 'a"b', n: -1, list: ['pv0', 0, 'pv1', 3], e: [], 'lv.1': { a: 1.5 } },
    });
  });

  it.each([
    'a {',
    'a = ',
    '}',
    'a = [1',
    'a b',
    '"open',
    'a = [[[[[[[[[[1]]]]]]]]]]',
    'a {'.repeat(100),
    '\x01',
  ])('refuses %j', (text) => {
    expect(() => parseLvmText(text)).toThrow(/LVM2's metadata/);
  });
});

const needs = missing('lvm', 'losetup', 'sfdisk', 'mke2fs');
describe.skipIf(needs)(`volumes${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('lvm');
  afterEach(closeDisks);
  afterAll(folder.remove);

  /** Partitions at 1 MiB and 65 MiB of 64 MiB each, as two physical volumes; undefined where there are no loop devices. */
  function makeGroup(
    disk: string,
  ): { devices: string[]; lvm: (...args: string[]) => string; done: () => void } | undefined {
    partitioned(disk, 130, { sfdisk: 'label: dos\n2048,131072,8e\n133120,131072,8e\n' }, []);
    const devices: string[] = [];
    const done = () => {
      for (const device of devices) run('losetup', ['-d', device]);
    };
    try {
      for (const start of [1, 65])
        devices.push(
          run('losetup', ['-f', '--show', '-o', `${start * MIB}`, '--sizelimit', `${64 * MIB}`, disk]).trim(),
        );
    } catch {
      done();
      return undefined;
    }
    // Of this machine's own volumes and settings nothing is looked at.
    const filter = devices.map((device) => `"a|^${device}$|"`).join(',');
    const config = `devices { filter=[${filter},"r|.*|"] use_devicesfile=0 } backup { backup=0 archive=0 }`;
    const lvm = (...args: string[]) => {
      const [command = '', ...rest] = args;
      return run('lvm', [command, '--config', config, '--driverloaded', 'n', ...rest]);
    };
    return { devices, lvm, done };
  }

  /** File systems into `root` and `str-iped`: what goes where, by LVM2's own report. */
  function fill(disk: string, devices: string[], lvm: (...args: string[]) => string): void {
    // Physical extents of 1 MiB lie behind 1 MiB of metadata.
    const image = extOf(
      folder.path('root'),
      { '/boot/vmlinuz': 'kernel', '/fill': Buffer.alloc(9 * MIB, 'fill') },
      ['-L', 'root'],
      16,
    );
    const ranges = lvm(
      'lvs',
      '--noheadings',
      '-o',
      'seg_start_pe,seg_size_pe,seg_pe_ranges',
      '-S',
      'lv_name=root',
    );
    for (const [, start, size, device, first] of ranges.matchAll(/(\d+)\s+(\d+)\s+(\S+):(\d+)-\d+/g))
      put(image, Number(start) * MIB, disk, at(devices, device!, Number(first)), Number(size) * MIB);
    const striped = extOf(
      folder.path('striped'),
      { '/fill': Buffer.alloc(9 * MIB, 'fill'), '/last': 'last' },
      ['-L', 'striped'],
      16,
    );
    const legs = [
      ...lvm('lvs', '--noheadings', '-o', 'seg_pe_ranges', '-S', 'lv_name=str-iped').matchAll(
        /(\S+):(\d+)-\d+/g,
      ),
    ];
    expect(legs).toHaveLength(2);
    for (let stripe = 0; stripe < 256; stripe++) {
      const [, device, first] = legs[stripe % 2]!;
      put(
        striped,
        stripe * 65536,
        disk,
        at(devices, device!, Number(first)) + Math.floor(stripe / 2) * 65536,
        65536,
      );
    }
  }

  it('are mapped as lvs says', async (context) => {
    const disk = folder.path('disk');
    const group = makeGroup(disk);
    if (group === undefined) return context.skip('no loop devices for this user');
    const { devices, lvm, done } = group;
    try {
      lvm('vgcreate', '-s', '1M', 'vg-0', ...devices);
      const create = (...args: string[]) => lvm('lvcreate', '-an', '-Zn', '-Wn', ...args, 'vg-0');
      create('-L', '8M', '-n', 'root');
      create('-L', '4M', '-n', 'between');
      lvm('lvextend', '-L', '16M', 'vg-0/root');
      lvm('lvextend', '-L', '30M', 'vg-0/between');
      create('-i', '2', '-I', '64', '-L', '16M', '-n', 'str-iped');

      fill(disk, devices, lvm);
    } finally {
      done();
    }

    const { volumes } = await openImage(disk);
    expect(
      volumes.map(({ name, isPhysicalVolume, sizeBytes }) => [name, isPhysicalVolume ?? false, sizeBytes]),
    ).toEqual([
      ['hd0,msdos1', true, 64 * MIB],
      ['hd0,msdos2', true, 64 * MIB],
      ['lvm/vg--0-root', false, 16 * MIB],
      ['lvm/vg--0-between', false, 30 * MIB],
      ['lvm/vg--0-str--iped', false, 16 * MIB],
    ]);
    for (const index of [2, 4])
      expect((await volumes[index]!.files!.readFile('/fill')).equals(Buffer.alloc(9 * MIB, 'fill'))).toBe(
        true,
      );
    expect((await volumes[2]!.files!.readFile('/boot/vmlinuz')).toString()).toBe('kernel');
    expect((await volumes[4]!.files!.readFile('/last')).toString()).toBe('last');
  });

  it('a group of which a part is elsewhere, and metadata that is damaged', async (context) => {
    const disk = folder.path('disk');
    const group = makeGroup(disk);
    if (group === undefined) return context.skip('no loop devices for this user');
    try {
      group.lvm('vgcreate', '-s', '1M', 'vg', ...group.devices);
      group.lvm('lvcreate', '-an', '-Zn', '-Wn', '-L', '4M', '-n', 'here', 'vg', group.devices[0]!);
      group.lvm('lvcreate', '-an', '-Zn', '-Wn', '-L', '4M', '-n', 'there', 'vg', group.devices[1]!);
    } finally {
      group.done();
    }
    const overwrite = (offset: number, length: number) =>
      put(blank(folder.path('zeros'), length), 0, disk, offset, length);
    overwrite(65 * MIB, 4096);
    expect((await openImage(disk)).volumes.slice(2)).toEqual([
      { name: 'lvm/vg-here', sizeBytes: 4 * MIB },
      { name: 'lvm/vg-there', sizeBytes: 0, problem: expect.stringMatching(/another disk/) },
    ]);
    await closeDisks();
    overwrite(MIB + 4096 + 512, 16384);
    expect((await openImage(disk)).volumes).toMatchObject([
      { problem: expect.stringMatching(/checksum of the LVM2 metadata/) },
      {},
    ]);
  });
});

const at = (devices: string[], device: string, extent: number) =>
  (devices.indexOf(device) === 0 ? 1 : 65) * MIB + MIB + extent * MIB;

function put(from: string, skip: number, to: string, seek: number, bytes: number): void {
  const piece = Buffer.alloc(bytes);
  readSync(openSync(from, 'r'), piece, 0, bytes, skip);
  writeFileSync(`${from}.piece`, piece);
  run('dd', [
    `if=${from}.piece`,
    `of=${to}`,
    'bs=64K',
    `seek=${seek}`,
    'oflag=seek_bytes',
    'conv=notrunc',
    'status=none',
  ]);
}
