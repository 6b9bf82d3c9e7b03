/** Volumes of folders, by the `xenner` command beside virsh; qemu-img judges what is made. */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { BesideVirsh } from './beside-virsh.js';
import { missingVirsh, Virsh } from './virsh.js';

const CLI = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url));
const MIB = 2 ** 20;
const at = scratch();
const missing = missingQemu ?? missingVirsh();
const beside = new BesideVirsh(at);
const same = beside.same.bind(beside);
const refused = beside.refused.bind(beside);
const xenner = beside.xenner.bind(beside);
const own = (name: string) => at(`ours/p/${name}`);

/** Files that somebody else made, the same for both. */
function makeForeign(): void {
  const file = (name: string) => at(`foreign/${name}`);
  for (const folder of ['folder', 'lost+found']) mkdirSync(file(folder), { recursive: true });
  for (const empty of ['.hidden', 'a <b> & c', 'ünï']) writeFileSync(file(empty), '');
  writeFileSync(file('odd'), randomBytes(777));
  writeFileSync(file('sparse'), '');
  truncateSync(file('sparse'), 3 * MIB);
  writeFileSync(file('cd.iso'), Buffer.concat([Buffer.alloc(32_769), Buffer.from('CD001')]));
  truncateSync(file('cd.iso'), MIB);
  qemuImg('create', '-q', '-f', 'vpc', file('disk.vhd'), '10M');
  qemuImg('create', '-q', '-f', 'vmdk', file('disk.vmdk'), '4M');
  qemuImg('create', '-q', '-f', 'vdi', file('disk.vdi'), '4M');
  qemuImg('create', '-q', '-f', 'qed', file('disk.qed'), '4M');
  qemuImg('create', '-q', '-f', 'qcow', file('disk.qcow'), '4M');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', file('old.qcow2'), '1M');
  const options = 'lazy_refcounts=on,extended_l2=on,cluster_size=1M';
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, file('new.qcow2'), '5M');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'new.qcow2', '-F', 'qcow2', file('above.qcow2'));
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', '/nowhere', '-F', 'raw', file('lost.qcow2'), '1M');
  writeFileSync(file('cut.qcow2'), readFileSync(file('new.qcow2')).subarray(0, 600));
  symlinkSync('odd', file('link'));
  symlinkSync('nothing', file('dangling'));
  execFileSync('mkfifo', [file('fifo')]);
  for (const mine of ['ours', 'them']) {
    mkdirSync(at(mine));
    execFileSync('cp', ['-a', '--sparse=always', at('foreign'), at(`${mine}/p`)]);
  }
}

describe.skipIf(missing !== undefined)(
  `volumes beside virsh${missing ? ` (skipped: ${missing})` : ''}`,
  () => {
    beforeAll(async () => {
      makeForeign();
      beside.virsh = await Virsh.start();
      await same('pool-create-as', 'p', 'dir', '--target', '/pools/p');
    });
    afterAll(() => beside.virsh?.stop());

    it('are listed and described whatever they are', async () => {
      const names = (await same('vol-list', 'p')).match(/(?<=\/p\/).*/g) ?? [];
      expect(names).toHaveLength(19);
      for (const name of names) await beside.sameDocument('p', name);
      await same('vol-dumpxml', 'above.qcow2', 'p');
    });

    it("have documents that libvirt's schemas accept, and so has their pool", async () => {
      const { StoragePools } = await import('xenner/mgmt');
      const pools = new StoragePools({ configDirectory: at('etc'), runDirectory: at('run') });
      const pool = await pools.lookupByName('p');
      const documents = [await pool.xml(), ...(await pool.listVolumes()).map(({ xml }) => xml)];
      const files = documents.map((text, i) => {
        const file = at(`${i}.xml`);
        // Of a name, the schemas let no others pass; libvirt itself does not mind.
        writeFileSync(file, text.replace(/<name>[^<]*[^\x20-\x7e][^<]*</, '<name>ascii<'));
        return file;
      });
      for (const [i, schema] of ['storagepool', 'storagevol'].entries())
        execFileSync('virt-xml-validate', [files[i]!, schema], { stdio: 'pipe' });
      const rng = '/usr/share/libvirt/schemas/storagevol.rng';
      execFileSync('xmllint', ['--noout', '--relaxng', rng, ...files.slice(1)], { stdio: 'pipe' });
      await expect(pool.lookupVolume('none')).rejects.toMatchObject({ code: 'VIR_ERR_NO_STORAGE_VOL' });
    });

    it('are found by name, key and path', async () => {
      await Promise.all([
        same('vol-path', 'odd', '--pool', 'p'),
        same('vol-key', 'odd', 'p'),
        same('vol-name', '/pools/p/odd'),
        same('vol-pool', '/pools/p/odd'),
        same('vol-info', '/pools/p/odd'),
        same('vol-info', 'sparse', 'p', '--bytes'),
        same('vol-info', 'sparse', 'p', '--physical'),
      ]);
      expect(await refused('vol-info', 'none', 'p')).toContain('no storage vol with matching name');
      expect(await refused('vol-path', '../p/odd', 'p')).toContain('no storage vol with matching name');
      expect(await refused('vol-name', '/pools/odd')).toContain('no storage vol with matching path');
    });

    it('tell what they lie above', async () => {
      const { backingChain } = JSON.parse((await xenner('vol-info', 'above.qcow2', 'p', '--json')).stdout);
      expect(backingChain).toEqual([{ path: own('new.qcow2'), format: 'qcow2' }]);
    });

    it('are made of every format, with space or without', async () => {
      await same('vol-create-as', 'p', 'full', '2M');
      await same('vol-create-as', 'p', 'thin', '2M', '--allocation', '4096');
      await same('vol-create-as', 'p', 'q', '10MB', '--format', 'qcow2');
      await same(
        'vol-create-as',
        'p',
        'q2',
        '20M',
        '--format',
        'qcow2',
        '--backing-vol',
        'q',
        '--backing-vol-format',
        'qcow2',
      );
      const q3 = `<volume><name>q3</name><capacity unit='GiB'>1</capacity><target><format type='qcow2'/><compat>1.1</compat>
      <permissions><mode>0640</mode></permissions><features><lazy_refcounts/></features></target></volume>`;
      for (const mine of ['ours', 'them']) writeFileSync(at(`${mine}/q3.xml`), q3);
      await same('vol-create', 'p', '/pools/q3.xml');
      await beside.virsh!.run('pool-refresh', 'p');
      for (const name of ['full', 'thin']) await beside.sameDocument('p', name);
      // What an empty image takes is its maker's affair.
      for (const name of ['q', 'q2', 'q3']) {
        await beside.sameDocument('p', name, /<(allocation|physical) .*/g);
        qemuImg('check', '-q', own(name));
      }
      expect((await xenner('vol-create-as', 'p', 'v.vhd', '5M', '--format', 'vpc')).status).toBe(0);
      expect(JSON.parse(qemuImg('info', '--output=json', own('v.vhd')))).toMatchObject({ format: 'vpc' });
      expect(await refused('vol-create-as', 'p', 'full', '1M')).toContain('exists already');
      for (const name of ['a/b', '..', '../up']) await refused('vol-create-as', 'p', name, '1M');
      for (const name of ['a\nb', '.xenner-new-1', 'x'.repeat(256)])
        expect((await xenner('vol-create-as', 'p', name, '1M')).stderr).toContain('is no name for a file');
    });

    it('are copied, across formats, with what is zero left out', async () => {
      qemuIo(own('new.qcow2'), ['write -P 7 1M 1M', 'write -P 9 4M 512'], '-f', 'qcow2');
      qemuIo(own('above.qcow2'), ['write -P 8 3M 64k'], '-f', 'qcow2');
      const [saidOurs] = await beside.both('vol-clone', 'odd', 'odd2', '--pool', 'p');
      expect(saidOurs.stdout).toBe('Vol odd2 cloned from odd\n\n');
      expect(readFileSync(own('odd2')).equals(readFileSync(own('odd')))).toBe(true);
      expect((await xenner('vol-clone', 'above.qcow2', 'flat.qcow2', 'p')).stderr).toBe('');
      expect(qemuImg('compare', own('above.qcow2'), own('flat.qcow2'))).toContain('identical');
      expect(qemuImg('info', own('flat.qcow2'))).not.toContain('backing');
      writeFileSync(
        at('raw.xml'),
        '<volume><name>flat.raw</name><capacity>1</capacity><allocation>0</allocation></volume>',
      );
      expect((await xenner('vol-create-from', 'p', at('raw.xml'), 'above.qcow2')).stderr).toBe('');
      expect(qemuImg('compare', own('above.qcow2'), own('flat.raw'))).toContain('identical');
      expect(statSync(own('flat.raw')).blocks * 512).toBeLessThan(2 * MIB);
    });

    it('are not copied with files that a guest has named in them', async () => {
      qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', at('raw.xml'), '-F', 'raw', own('evil'), '1M');
      expect((await xenner('vol-clone', 'evil', 'leak', 'p')).stderr).toContain('which it may not use');
      expect(existsSync(own('leak'))).toBe(false);
    });

    it('change their size', async () => {
      expect(await refused('vol-resize', 'full', '1M', 'p')).toMatch(
        /can't shrink capacity below existing allocation/i,
      );
      expect(await refused('vol-resize', 'thin', '1M', 'p')).toMatch(
        /can't shrink capacity below current capacity/i,
      );
      await same('vol-resize', 'thin', '1M', 'p', '--shrink');
      await same('vol-resize', 'thin', '3M', 'p', '--delta');
      await same('vol-resize', 'thin', '8M', 'p', '--allocate');
      await same('vol-resize', 'q3', '9G', 'p');
      await same('vol-info', 'thin', 'p');
      expect(JSON.parse(qemuImg('info', '--output=json', own('q3')))).toMatchObject({
        'virtual-size': 9 * 2 ** 30,
      });
      qemuImg('check', '-q', own('q3'));
    });

    it('are written, read and wiped', async () => {
      const bytes = randomBytes(3 * MIB);
      for (const mine of ['ours', 'them']) writeFileSync(at(`${mine}/up`), bytes.subarray(0, 5000));
      await same('vol-upload', 'full', '/pools/up', 'p', '--offset', '1000');
      await same('vol-download', 'full', '/pools/down', 'p', '--offset', '500', '--length', '9000');
      expect(readFileSync(at('ours/down')).equals(readFileSync(at('them/down')))).toBe(true);
      const part = ['--offset', '9000', '--length', '100'];
      const said = await xenner('vol-upload', 'full', at('ours/up'), 'p', ...part);
      expect(said).toEqual({ status: 0, stdout: '\n', stderr: '' });
      const written = Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(100)]);
      expect(readFileSync(own('full')).subarray(9000, 9200).equals(written)).toBe(true);
      writeFileSync(at('ours/up'), bytes);
      truncateSync(at('ours/up'), 64 * MIB);
      await xenner('vol-upload', 'thin', at('ours/up'), 'p', '--sparse');
      await xenner('vol-download', 'thin', at('ours/down'), 'p', '--sparse');
      expect(statSync(at('ours/down')).size).toBe(64 * MIB);
      expect(
        readFileSync(at('ours/down'))
          .subarray(0, 3 * MIB)
          .equals(bytes),
      ).toBe(true);
      expect(statSync(at('ours/down')).blocks * 512).toBeLessThan(8 * MIB);
      const { stderr } = await xenner('vol-download', 'full', own('full'), 'p');
      expect(stderr).toContain('is the volume itself');
      expect(statSync(own('full')).size).toBe(2 * MIB);
      await same('vol-wipe', 'full', 'p');
      expect(readFileSync(own('full')).every((byte) => byte === 0)).toBe(true);
      expect((await xenner('vol-wipe', 'full', 'p', '--algorithm', 'random')).stderr).toBe('');
      expect(new Set(readFileSync(own('full'))).size).toBe(256);
    });

    it('are left alone while something uses them', async () => {
      const user = await holdOpen(own('q'), '-f', 'qcow2');
      const before = readFileSync(own('q'));
      const words = [
        'vol-delete q p',
        'vol-wipe q p',
        'vol-resize q 90M p',
        `vol-upload q ${at('raw.xml')} p`,
      ];
      const says = await Promise.all(
        [...words, 'vol-clone q qq p'].map((each) => xenner(...each.split(' '))),
      );
      await user.end();
      for (const { stderr, status } of says) {
        expect(stderr).toMatch(/q is in use by process \d+ \(qemu-io\)/);
        expect(status).toBe(1);
      }
      expect(readFileSync(own('q')).equals(before)).toBe(true);
      await same('vol-delete', 'q', 'p');
      expect(existsSync(own('q'))).toBe(false);
    });

    it('are whole or not there when their maker is killed', async () => {
      writeFileSync(own('big'), randomBytes(32 * MIB));
      const env = { ...process.env, XENNER_CONFIG_DIR: at('etc'), XENNER_RUN_DIR: at('run') };
      const leftovers = () => readdirSync(at('ours/p')).filter((name) => name.startsWith('.xenner-new-'));
      const maker = spawn(process.execPath, [CLI, 'vol-clone', 'big', 'copy', 'p'], { env, stdio: 'ignore' });
      const ended = new Promise((resolve) => maker.once('exit', resolve));
      while (leftovers().length === 0 && maker.exitCode === null) await delay(1);
      maker.kill('SIGKILL');
      await ended;
      if (existsSync(own('copy')))
        expect(readFileSync(own('copy')).equals(readFileSync(own('big')))).toBe(true);
      expect((await xenner('vol-list', 'p')).stdout).not.toContain('xenner-new');
      expect((await xenner('vol-create-as', 'p', 'after', '1M')).stderr).toBe('');
      expect(leftovers()).toEqual([]);
    });

    it('are not there when the file system is full, or cannot be written', async () => {
      mkdirSync(at('small'));
      const steps = [
        `mount -t tmpfs -o size=1m none ${at('small')}`,
        'x pool-create-as small dir --target "$0"',
        'x vol-create-as small full 4M; x vol-create-as small full.qcow2 400G --format qcow2 --prealloc-metadata',
        'x vol-create-as small fits 64K; mount -o remount,ro "$0"; x vol-create-as small ro 1K; x vol-delete fits small',
        'ls -A "$0"; x pool-destroy small',
      ];
      const script = `x() { ${process.execPath} ${CLI} "$@" 2>&1; }\n${steps.join('\n')}`;
      const env = { ...process.env, XENNER_CONFIG_DIR: at('etc'), XENNER_RUN_DIR: at('run') };
      const said = execFileSync('unshare', ['--mount', 'sh', '-c', script, at('small')], {
        env,
        encoding: 'utf8',
      });
      expect(said.split('\n').filter((line) => line !== '')).toEqual([
        'Pool small created',
        'xenner: cannot create volume "full": no space left on device',
        'xenner: cannot create volume "full.qcow2": no space left on device',
        'Vol fits created',
        'xenner: cannot create volume "ro": read-only file system',
        'xenner: cannot remove volume "fits": read-only file system',
        'fits',
        'Pool small destroyed',
      ]);
    });
  },
);
