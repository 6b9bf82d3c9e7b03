/** QEMU and we refuse each other as two of QEMU's do. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LockMode } from '../../../src/mgmt/storage/image-lock.js';
import { StorageFile } from '../../../src/mgmt/storage/storage-file.js';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from './scratch.js';

const file = scratch();
const locked = expect.objectContaining({ code: 'ELOCKED' });

async function tryOpen(path: string, lock: LockMode): Promise<StorageFile> {
  return StorageFile.open(path, { readOnly: lock !== 'write', lock });
}

describe('between two of ours', () => {
  const rows: [LockMode, LockMode, boolean][] = [
    ['write', 'write', false],
    ['write', 'read', false],
    ['read', 'write', false],
    ['read', 'read', true],
    ['write', 'shared-read', true],
    ['shared-read', 'write', true],
    ['write', 'none', true],
    ['none', 'write', true],
  ];
  it.each(rows)('%s, then %s: %s', async (first, second, fits) => {
    const path = file(`${first}-${second}`);
    writeFileSync(path, 'x');
    const holder = await tryOpen(path, first);
    if (fits) await (await tryOpen(path, second)).close();
    else await expect(tryOpen(path, second)).rejects.toThrow(/is in use by this process/);
    await holder.close();
    await (await tryOpen(path, second)).close();
  });
});

describe.skipIf(missingQemu)(`with QEMU (skipped: ${missingQemu})`, () => {
  const path = file('image.qcow2');
  beforeAll(() => {
    qemuImg('create', '-f', 'qcow2', path, '1M');
  });

  describe('that writes', () => {
    let holder: Awaited<ReturnType<typeof holdOpen>>;
    beforeAll(async () => {
      holder = await holdOpen(path);
    });
    afterAll(() => holder.end());

    it.each<LockMode>(['write', 'read'])('%s is refused, with its name', async (mode) => {
      await expect(tryOpen(path, mode)).rejects.toThrow(locked);
      await expect(tryOpen(path, mode)).rejects.toThrow(`process ${holder.pid} (qemu-io)`);
    });
    it.each<LockMode>(['shared-read', 'none'])('%s is not', async (mode) => {
      await (await tryOpen(path, mode)).close();
    });
  });

  it('that reads: we may read, not write', async () => {
    const holder = await holdOpen(path, '-r');
    await expect(tryOpen(path, 'write')).rejects.toThrow(locked);
    await (await tryOpen(path, 'read')).close();
    await holder.end();
    await (await tryOpen(path, 'write')).close();
  });

  it('is refused while we write, and may read while we read', async () => {
    const writer = await tryOpen(path, 'write');
    expect(() => qemuIo(path, ['length'])).toThrow(/lock/);
    expect(() => qemuIo(path, ['length'], '-r')).toThrow(/lock/);
    qemuIo(path, ['length'], '-r', '-U');
    await writer.close();
    const reader = await tryOpen(path, 'read');
    qemuIo(path, ['length'], '-r');
    expect(() => qemuIo(path, ['length'])).toThrow(/lock/);
    await reader.close();
    qemuIo(path, ['length']);
  });
});
