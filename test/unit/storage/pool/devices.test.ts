/** Pools on devices, as far as any machine has them: names that must not reach a program, tables, a file system on a loop device. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { NewVolume, PoolDefinition } from '../../../../src/mgmt/storage/pool/definition.js';
import { logicalBackend } from '../../../../src/mgmt/storage/pool/logical.js';
import { netfsBackend } from '../../../../src/mgmt/storage/pool/netfs.js';
import { partitionNode, readDiskTable } from '../../../../src/mgmt/storage/pool/partitions.js';
import { readPool, writePool } from '../../../../src/mgmt/storage/pool/pool-xml.js';
import { run } from '../../../../src/mgmt/storage/pool/program.js';
import { scratch } from '../scratch.js';
import { BesideVirsh } from './beside-virsh.js';

const at = scratch();
const MIB = 2 ** 20;

describe('documents of pools on devices', () => {
  it.each([
    [
      'fs',
      "<source><device path='/dev/sdz1'/><format type='ext4'/></source><target><path>/x</path></target>",
    ],
    [
      'netfs',
      "<source><host name='h'/><dir path='/y'/><format type='nfs'/><protocol ver='4.1'/></source><target><path>/x</path></target>",
    ],
    [
      'logical',
      "<source><device path='/dev/sdz'/><name>vg</name><format type='lvm2'/></source><target><path>/dev/vg</path></target>",
    ],
    [
      'disk',
      "<source><device path='/dev/sdz'/><format type='gpt'/></source><target><path>/dev</path></target>",
    ],
    [
      'iscsi',
      "<source><host name='h' port='3261'/><device path='iqn.2026-01.a:b'/><initiator><iqn name='iqn.2026-01.a:c'/></initiator></source><target><path>/dev/disk/by-path</path></target>",
    ],
    ['mpath', '<source></source><target><path>/dev/mapper</path></target>'],
  ])('of the type %s are read and written as the same', (type, inside) => {
    const text = writePool(readPool(`<pool type='${type}'><name>p</name>${inside}</pool>`));
    expect(writePool(readPool(text))).toBe(text);
    const flat = text.replace(/\n\s*/g, '');
    expect(flat).toContain(inside);
  });

  it.each([
    ['fs', '', /missing storage pool source device name/],
    ['fs', "<device path='sda'/>", /not absolute/],
    ['fs', "<device path='/a&#10;b'/>", /line's end/],
    ['fs', "<device path='/a'/><format type='--help'/>", /unknown pool format type/],
    ['netfs', "<dir path='/x'/>", /missing storage pool source host name/],
    ['netfs', "<host name='h'/>", /missing storage pool source path/],
    ['netfs', "<host name='h'/><dir path='/x'/><protocol ver='4,exec'/>", /protocol ver .* is malformed/],
    ['logical', '<name>-ay</name>', /no name for a volume group/],
    ['logical', '<name>..</name>', /no name for a volume group/],
    ['logical', '<name>a;reboot</name>', /no name for a volume group/],
    ['iscsi', "<host name='h'/>", /missing storage pool source device name/],
    ['iscsi', "<host name='h'/><device path='--help'/>", /no name of iSCSI/],
    ['iscsi', "<host name='h'/><device path='iqn.a b'/>", /no name of iSCSI/],
    ['iscsi', "<host name='h' port='70000'/><device path='iqn.a'/>", /Invalid port number/],
    [
      'iscsi',
      "<host name='h'/><device path='iqn.a'/><initiator><iqn name='x'/></initiator>",
      /no name of iSCSI/,
    ],
    [
      'iscsi',
      "<host name='h'/><device path='iqn.a'/><auth type='chap' username='u'/>",
      /with a secret are not supported/,
    ],
  ])('of the type %s are refused with %s', (type, source, message) => {
    const text = `<pool type='${type}'><name>p</name><source>${source}</source><target><path>/x</path></target></pool>`;
    expect(() => readPool(text)).toThrow(message);
  });
});

describe('what a user may name', () => {
  const pool = { name: 'p', source: { name: 'vg', hosts: [], devices: [] }, target: { path: '/dev/vg' } };
  const volume = { capacity: MIB, allocation: MIB, format: 'raw', permissions: {}, features: [] };

  it.each(['-ay', '', '.', '..', 'a/b', 'a b', 'a;b', '$(b)', 'a\nb', 'ü', 'x'.repeat(128)])(
    'is no logical volume: %j',
    async (name) => {
      const make = logicalBackend.createVolume!(
        pool as unknown as PoolDefinition,
        { ...volume, name } as NewVolume,
        {},
      );
      await expect(make).rejects.toMatchObject({ code: 'VIR_ERR_OPERATION_INVALID' });
    },
  );

  it.each(['-x', '', 'a b', 'a/b', 'a,exec', '$(b)', 'a\nb', '@', 'x'.repeat(300)])(
    'is no host: %j',
    async (name) => {
      const search = netfsBackend.findSources!({ hosts: [{ name }], devices: [] });
      await expect(search).rejects.toMatchObject({ code: 'VIR_ERR_INVALID_ARG' });
    },
  );
});

describe('a program of the host', () => {
  it('tells in one line what it complains of', async () => {
    const path = at('line\n\x1b[31mred');
    writeFileSync(path, '');
    await expect(run('sfdisk', ['--json', '--', path])).rejects.toMatchObject({
      code: 'VIR_ERR_OPERATION_FAILED',
      message: expect.stringMatching(/^sfdisk: [^\p{Cc}]+$/u),
    });
  });

  it('is ended when it does not end by itself', async () => {
    await expect(run('udevadm', ['monitor'], { timeoutMs: 500 })).rejects.toThrow('udevadm does not end');
  });
});

describe('a partition table', () => {
  const table = async (script: string) => {
    writeFileSync(at('disk'), '');
    truncateSync(at('disk'), 64 * MIB);
    execFileSync('sfdisk', ['--quiet', at('disk')], { input: script, stdio: ['pipe', 'ignore', 'pipe'] });
    const { partitions, free, label } = await readDiskTable(at('disk'), 64 * MIB);
    return {
      label,
      partitions: partitions.map(({ number, kind, start, end }) => [number, kind, start / MIB, end / MIB]),
      free: free.map(({ start, end, isLogical }) => [
        Math.ceil(start / MIB),
        Math.floor(end / MIB),
        isLogical,
      ]),
    };
  };

  it('of the format gpt is read with the room that it leaves', async () => {
    expect(await table('label: gpt\nstart=2MiB, size=8MiB\nstart=20MiB, size=4MiB')).toEqual({
      label: 'gpt',
      partitions: [
        [1, 'normal', 2, 10],
        [2, 'normal', 20, 24],
      ],
      free: [
        [1, 2, false],
        [10, 20, false],
        [24, 63, false],
      ],
    });
  });

  it('of the format dos has logical partitions inside an extended one', async () => {
    const script =
      'label: dos\nstart=1MiB, size=8MiB\nstart=16MiB, size=32MiB, type=f\nstart=17MiB, size=8MiB';
    expect(await table(script)).toEqual({
      label: 'dos',
      partitions: [
        [1, 'normal', 1, 9],
        [2, 'extended', 16, 48],
        [5, 'logical', 17, 25],
      ],
      free: [
        [1, 1, false],
        [9, 16, false],
        [16, 17, true],
        [25, 48, true],
        [48, 64, false],
      ],
    });
  });

  it('that is none is told', async () => {
    writeFileSync(at('nothing'), Buffer.alloc(MIB));
    await expect(readDiskTable(at('nothing'), MIB)).rejects.toMatchObject({
      code: 'VIR_ERR_OPERATION_FAILED',
      next: "'pool-build' makes one",
    });
  });

  it.each([
    ['/dev/sda', 1, '/dev/sda1'],
    ['/dev/loop0', 12, '/dev/loop0p12'],
    ['/dev/nvme0n1', 3, '/dev/nvme0n1p3'],
  ])('%s has partition %i as %s', (device, number, node) => {
    expect(partitionNode(device, number)).toBe(node);
  });
});

/** A loop device, and the right to mount it. */
function loopDevice(): { device: string } | { missing: string } {
  if (process.getuid!() !== 0) return { missing: 'mounting takes root' };
  writeFileSync(at('image'), '');
  truncateSync(at('image'), 64 * MIB);
  const { status, stdout } = spawnSync('losetup', ['--find', '--show', at('image')], { encoding: 'utf8' });
  if (status !== 0) return { missing: 'no loop devices here' };
  const device = stdout.trim();
  const mounted = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']);
  if (mounted.status === 0) return { device };
  spawnSync('losetup', ['--detach', device]);
  return { missing: 'nothing can be mounted here' };
}

const loop = loopDevice();
const beside = new BesideVirsh(at);
const xenner = beside.xenner.bind(beside);

describe.skipIf('missing' in loop)(
  `a pool of the type fs${'missing' in loop ? ` (skipped: ${loop.missing})` : ''}`,
  () => {
    const device = 'device' in loop ? loop.device : '';
    beforeAll(() => mkdirSync(at('ours')));
    afterAll(() => {
      spawnSync('umount', [at('ours/mnt')]);
      execFileSync('losetup', ['--detach', device]);
    });
    const done = async (...words: string[]) => {
      const outcome = await xenner(...words);
      expect(outcome).toMatchObject({ stderr: '', status: 0 });
      return outcome.stdout;
    };

    it('is made on a device, mounted, filled, and mounted again', async () => {
      await done(
        'pool-define-as',
        'f',
        'fs',
        '--source-dev',
        device,
        '--source-format',
        'ext4',
        '--target',
        at('ours/mnt'),
      );
      expect((await xenner('pool-start', 'f')).stderr).toMatch(
        /mount: .*(mount point does not exist|wrong fs type)/,
      );
      await done('pool-build', 'f', '--no-overwrite');
      expect((await xenner('pool-build', 'f', '--no-overwrite')).stderr).toContain(
        'already formatted using "ext4"',
      );
      await done('pool-start', 'f');
      await done('vol-create-as', 'f', 'a', '1M');
      expect((await xenner('vol-create-as', 'f', 'b', '500M')).stderr).toMatch(/no space left/i);
      await done('pool-destroy', 'f');
      // Whoever was killed after mounting it has told nobody.
      execFileSync('mount', [device, at('ours/mnt')]);
      await done('pool-start', 'f');
      expect(await done('vol-list', 'f')).toMatch(/ a .* lost\+found /s);
      await done('pool-destroy', 'f');
      expect(spawnSync('mountpoint', ['-q', at('ours/mnt')]).status).not.toBe(0);
      await done('pool-delete', 'f');
    });

    it('says that it is for root', () => {
      const home = mkdtempSync(join(tmpdir(), 'xenner-user-'));
      onTestFinished(() => rmSync(home, { recursive: true }));
      chmodSync(home, 0o777);
      const words = [
        process.execPath,
        'dist/cli/main.js',
        'pool-create-as',
        'n',
        'fs',
        '--source-dev',
        device,
      ];
      const env = { ...process.env, XENNER_CONFIG_DIR: `${home}/etc`, XENNER_RUN_DIR: `${home}/run` };
      const user = ['--reuid=65534', '--regid=65534', '--clear-groups', ...words, '--target', '/x'];
      const { status, stderr } = spawnSync('setpriv', user, { encoding: 'utf8', env });
      expect(stderr).toMatch(/pools of type 'fs' are for root only: mounting takes CAP_SYS_ADMIN.*root/s);
      expect(status).toBe(1);
    });
  },
);
