/** Partition tables as sfdisk and sgdisk make them, and what they say of them. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { CachedDisk } from '../../../src/mgmt/guestfs/byte-source.js';
import { readPartitionTable } from '../../../src/mgmt/guestfs/partitions/partition-table.js';
import { partitioned } from './lib/boot-disks.js';
import { missing } from './lib/host-tree.js';
import { blank, closeDisks, mke2fs, openRaw, run, scratch } from './lib/images.js';

const needs = missing('sfdisk', 'fdisk', 'sgdisk', 'mke2fs');
describe.skipIf(needs)(`partition tables${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('partitions');
  const disk = folder.path('disk');
  afterEach(closeDisks);
  afterAll(folder.remove);

  const read = async (sectorBytes = 512) =>
    readPartitionTable(new CachedDisk(await openRaw(disk)), sectorBytes);
  const poke = (offset: number, bytes: number[]) =>
    run(
      'dd',
      [`of=${disk}`, 'bs=1', `seek=${offset}`, 'conv=notrunc', 'status=none'],
      String.fromCharCode(...bytes),
    );

  /** What sfdisk itself reads there. */
  const sfdisk = () =>
    (
      JSON.parse(run('sfdisk', ['-J', disk])) as {
        partitiontable: { partitions: Array<Record<string, unknown>> };
      }
    ).partitiontable.partitions.map(({ node, start, size, type, bootable }) => ({
      number: Number(/\d+$/.exec(String(node))![0]),
      offset: Number(start) * 512,
      sizeBytes: Number(size) * 512,
      type: String(type).toLowerCase().padStart(2, '0'),
      active: bootable === true,
    }));

  it('an MBR with logical partitions, one of them active', async () => {
    const table =
      'label: dos\n2048,20480,83\n22528,40960,5\n65536,8192,8e\n73728,,82\n,10240,83\n,10240,83,*\n,8192,82\n';
    partitioned(disk, 64, { sfdisk: table }, []);
    const found = await read();
    expect(found).toMatchObject({ scheme: 'mbr', notes: [] });
    expect(found.partitions).toEqual(sfdisk().filter(({ type }) => type !== '05'));
    expect(found.partitions.map(({ number }) => number)).toEqual([1, 3, 4, 5, 6, 7]);
  });

  it('a GPT, by its backup when it is damaged', async () => {
    partitioned(
      disk,
      64,
      { sgdisk: ['-n1:2048:+1M', '-n3:8192:+16M', '-A3:set:2', '-c3:root é', '-t1:ef02', '-n128:0:+1M'] },
      [],
    );
    const found = await read();
    expect(found).toMatchObject({ scheme: 'gpt', notes: [] });
    expect(found.partitions.map(({ label, active, ...rest }) => rest)).toEqual(
      sfdisk().map(({ active, ...rest }) => rest),
    );
    expect(found.partitions[1]).toMatchObject({ number: 3, active: true, label: 'root é' });
    poke(1024 + 40, [1]);
    await closeDisks();
    expect(await read()).toEqual({ ...found, notes: [expect.stringMatching(/backup/)] });
    poke(64 * 2 ** 20 - 512 + 60, [7]);
    await closeDisks();
    expect(await read()).toEqual({
      scheme: 'gpt',
      partitions: [],
      notes: [expect.stringMatching(/GPT and its backup/)],
    });
  });

  it('sectors of 4096 bytes', async () => {
    blank(disk, 64 * 2 ** 20);
    // sfdisk and sgdisk take 512 for files; fdisk can be told.
    run('fdisk', ['-b', '4096', disk], 'g\nn\n1\n256\n+2047\nn\n2\n2304\n+1023\nw\n');
    expect((await read(4096)).partitions).toMatchObject([
      { offset: 2 ** 20, sizeBytes: 8 * 2 ** 20 },
      { offset: 9 * 2 ** 20, sizeBytes: 4 * 2 ** 20 },
    ]);
    await closeDisks();
    expect((await read(512)).partitions).toHaveLength(2);
    await closeDisks();
    blank(disk, 64 * 2 ** 20);
    run('fdisk', ['-b', '4096', disk], 'o\nn\np\n1\n256\n+2047\nw\n');
    expect((await read(4096)).partitions).toMatchObject([{ offset: 2 ** 20, sizeBytes: 8 * 2 ** 20 }]);
  });

  it('a file system with a boot sector is no table', async () => {
    mke2fs(disk, 8, []);
    poke(510, [0x55]);
    poke(446, [0x4b, 0x52, 0x55, 0x42, 0x20]);
    expect(await read()).toEqual({ scheme: 'none', partitions: [], notes: [] });
  });

  it('logical partitions in a circle, and a partition behind the end', async () => {
    partitioned(
      disk,
      64,
      {
        sfdisk:
          'label: dos\n1: start=2048,size=4096,type=83\n2: start=8192,size=40960,type=5\n5: size=4096,type=83\n6: size=4096,type=83\n',
      },
      [],
    );
    const second = sfdisk().at(-1)!.offset - 2048 * 512;
    // The second table's link leads to the first one.
    poke(second + 446 + 16 + 4, [5]);
    poke(second + 446 + 16 + 8, [0, 0, 0, 0, 1, 0, 0, 0]);
    poke(446 + 8, [0, 0, 0, 127]);
    const found = await read();
    expect(found.partitions.map(({ number }) => number)).toEqual([5, 6]);
    expect(found.notes).toEqual([
      expect.stringMatching(/partition 1 lies beyond/),
      expect.stringMatching(/chain of logical partitions/),
    ]);
  });
});
