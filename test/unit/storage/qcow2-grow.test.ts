/** qcow2 images that grow: qemu-img says that they are good, and their contents are what they were, with zeros behind. */
import { copyFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { growQcow2 } from '../../../src/mgmt/storage/qcow2/grow.js';
import { missingQemu, qemuImg, qemuIo, scratch } from './scratch.js';

const at = scratch();
const sizeOf = (path: string) => JSON.parse(qemuImg('info', '--output=json', path))['virtual-size'];
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';

describe.skipIf(missingQemu !== undefined)(`growQcow2${skipped}`, () => {
  it.each([
    ['within its L1 table', 'cluster_size=64k', '1M', '400M'],
    ['into a larger L1 table', 'cluster_size=64k', '1M', '3T'],
    ['from nothing', 'cluster_size=64k', '0', '10G'],
    ['with the smallest clusters', 'cluster_size=512', '1M', '200M'],
    ['with the largest ones', 'cluster_size=2M', '10M', '64T'],
    ['with subclusters', 'extended_l2=on,cluster_size=16k', '1M', '40G'],
    ['of version 2', 'compat=0.10', '1M', '5T'],
    ['with refcounts of one bit', 'refcount_bits=1', '1M', '5T'],
    ['with all clusters in their places', 'preallocation=metadata,cluster_size=512', '1M', '90M'],
  ])('%s', async (_, options, before, after) => {
    const [image, twin] = [at('a.qcow2'), at('twin.qcow2')];
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, before);
    if (before !== '0') qemuIo(image, ['write -P 5 0 700k', 'write -P 6 1023k 1k']);
    copyFileSync(image, twin);
    qemuImg('resize', '-q', '-f', 'qcow2', twin, after);
    await growQcow2(image, sizeOf(twin));
    expect(sizeOf(image)).toBe(sizeOf(twin));
    expect(qemuImg('check', image)).toContain('No errors were found');
    expect(qemuImg('compare', image, twin)).toContain('identical');
    qemuIo(image, [`write -P 3 ${sizeOf(image) - 65_536} 64k`, 'read -P 0 2M 64k']);
    expect(qemuImg('check', image)).toContain('No errors were found');
  });

  it('with snapshots, which stay what they were', async () => {
    const image = at('snap.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
    qemuIo(image, ['write -P 5 0 1M']);
    qemuImg('snapshot', '-c', 'one', image);
    qemuIo(image, ['write -P 6 0 64k']);
    await growQcow2(image, 2 ** 40);
    expect(qemuImg('check', image)).toContain('No errors were found');
    qemuIo(image, ['read -P 6 0 64k', 'read -P 5 64k 64k']);
    qemuImg('snapshot', '-a', 'one', image);
    qemuIo(image, ['read -P 5 0 1M']);
  });

  it('above a larger image, of which no more is seen', async () => {
    const [base, image] = [at('base.raw'), at('above.qcow2')];
    qemuImg('create', '-q', '-f', 'raw', base, '4M');
    qemuIo(base, ['write -P 9 0 4M'], '-f', 'raw');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', image, '1M');
    await growQcow2(image, 8 * 2 ** 20);
    qemuIo(image, ['read -P 9 0 1M', 'read -P 0 1M 7M']);
    expect(qemuImg('check', image)).toContain('No errors were found');
  });

  it.each([
    ['a smaller size', [], 512, /is larger than 512 bytes/],
    ['more than its clusters can describe', ['-o', 'cluster_size=512'], 2 ** 50, /cannot have/],
    ['a data file', ['-o', `data_file=${at('data')}`], 2 ** 30, /has its data in another file/],
  ])('not to %s', async (_, options, size, message) => {
    const image = at('no.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', ...options, image, '1M');
    await expect(growQcow2(image, size)).rejects.toThrow(message);
    expect(sizeOf(image)).toBe(2 ** 20);
  });
});
