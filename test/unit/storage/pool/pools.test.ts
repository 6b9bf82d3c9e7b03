/** Pools of the type dir, by the `xenner` command beside virsh with the same words: what they print is the same. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scratch } from '../scratch.js';
import { BesideVirsh } from './beside-virsh.js';
import { missingVirsh, Virsh } from './virsh.js';

const UUID = '2f9a8a5e-3c1b-4d0e-9f7a-6b5c4d3e2f10';
const at = scratch();
const missing = missingVirsh();
const beside = new BesideVirsh(at);
const same = beside.same.bind(beside);
const refused = beside.refused.bind(beside);
const xenner = beside.xenner.bind(beside);

describe.skipIf(missing !== undefined)(`pools beside virsh${missing ? ` (skipped: ${missing})` : ''}`, () => {
  beforeAll(async () => {
    beside.virsh = await Virsh.start();
    for (const mine of ['ours', 'them']) {
      mkdirSync(at(mine));
      const path = at(`${mine}.xml`);
      writeFileSync(
        path,
        `<pool type='dir'><name>a &amp; b</name><uuid>${UUID}</uuid><target><path>${at(mine)}//x/</path></target></pool>`,
      );
    }
  });
  afterAll(() => beside.virsh?.stop());

  it('live from their definition to their end', async () => {
    await same('pool-define', '/pools.xml');
    await Promise.all([
      same('pool-dumpxml', 'a & b'),
      same('pool-info', 'a & b'),
      same('pool-list', '--all'),
    ]);
    expect(await refused('pool-start', 'a & b')).toMatch(/cannot open directory ".*ours\/x": no such file/);
    await same('pool-build', 'a & b');
    await same('pool-build', 'a & b');
    await same('pool-start', 'a & b');
    expect(await refused('pool-start', 'a & b')).toContain('is already active');
    expect(await refused('pool-build', 'a & b')).toContain('is already active');
    expect(await refused('pool-delete', 'a & b')).toContain('is still active');
    expect(await refused('pool-undefine', 'a & b')).toContain('is still active');
    expect(await same('pool-dumpxml', 'a & b')).toContain('<mode>0711</mode>');
    await same('pool-info', UUID);
    await same('pool-autostart', 'a & b');
    const lists = ['--details', '--uuid', '--name --autostart', '--all --no-autostart'];
    await Promise.all(lists.map((options) => same('pool-list', ...options.split(' '))));
    await same('pool-autostart', 'a & b', '--disable');
    await Promise.all([same('pool-name', UUID), same('pool-uuid', 'a & b'), same('pool-refresh', 'a & b')]);
    await same('pool-destroy', 'a & b');
    expect(await refused('pool-destroy', 'a & b')).toContain('is not active');
    await same('pool-delete', 'a & b');
    await same('pool-undefine', 'a & b');
    expect(await refused('pool-info', 'a & b')).toContain('no storage pool with matching name');
  });

  it('are transient when they are only created', async () => {
    await refused('pool-create-as', 't', 'dir', '--target', '/pools/t');
    await same('pool-create-as', 't', 'dir', '--target', '/pools/t', '--build');
    await same('pool-list', '--transient', '--details');
    expect(await refused('pool-autostart', 't')).toContain('is transient');
    expect(await refused('pool-define-as', 'u', 'dir', '--target', '/pools/t')).toContain('source conflict');
    expect(await refused('pool-define-as', 't', 'dir', '--target', '/pools/u')).toContain(
      'already exists with uuid',
    );
    await same('pool-destroy', 't');
    await same('pool-list', '--all');
  });

  it('stop when what they are made of is gone', async () => {
    await same('pool-create-as', 'g', 'dir', '--target', '/pools/g', '--build');
    for (const mine of ['ours', 'them']) rmSync(at(`${mine}/g`), { recursive: true });
    expect((await xenner('pool-info', 'g')).stdout).toContain('State:          inaccessible');
    await refused('pool-refresh', 'g');
    await same('pool-list', '--all');
  });

  it.each([
    ['dir', '--target', '/x', '--source-path', '/y'],
    ['netfs', '--target', '/x', '--source-host', 'h', '--source-path', '/y', '--source-format', 'nfs'],
    ['fs', '--target', '/x', '--source-dev', '/dev/sdz1', '--source-format', 'ext4'],
    ['logical', '--source-name', 'vg', '--source-dev', '/dev/sdz1'],
  ])('have the same document for pool-define-as of %s', async (...words) => {
    await same('pool-define-as', 'n', ...words, '--print-xml');
  });
});

describe('xenner pool-*', () => {
  it('tells JSON', async () => {
    mkdirSync(at('j'));
    await xenner('pool-create-as', 'j', 'dir', '--target', at('j'));
    const [pool] = JSON.parse((await xenner('pool-list', '--json')).stdout);
    expect(pool).toMatchObject({ name: 'j', type: 'dir', state: 'running', persistent: false });
    expect(pool.capacity).toBe(pool.allocation + pool.available);
    expect(JSON.parse((await xenner('pool-info', 'j', '--json')).stdout).uuid).toBe(pool.uuid);
    expect((await xenner('pool-destroy', 'j')).stdout).toBe('Pool j destroyed\n\n');
  });

  it('reports a damaged definition, sets it aside and goes on', async () => {
    await xenner('pool-define-as', 'good', 'dir', '--target', '/good');
    writeFileSync(at('etc/storage/bad.xml'), '<pool type="dir"><name>bad');
    const { stdout, stderr } = await xenner('pool-list', '--all', '--name');
    expect(stdout.split(/\s+/)).toContain('good');
    expect(stderr).toMatch(/bad\.xml is damaged: line 1: .*; it was set aside as .*bad\.xml\.damaged-\d+\n$/);
    expect((await xenner('pool-list', '--all')).stderr).toBe('');
  });
});
