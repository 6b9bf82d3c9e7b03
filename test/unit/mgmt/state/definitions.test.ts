/** Definitions on the disk: whole or not there, never lost, and never outside of their folder. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { Definitions, isFileName } from '../../../../src/mgmt/state/definitions.js';
import type { PoolDefinition } from '../../../../src/mgmt/storage/pool/definition.js';
import { readPool, writePool } from '../../../../src/mgmt/storage/pool/pool-xml.js';
import { scratch } from '../../storage/scratch.js';

const at = scratch();
const CLI = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url));
const pool = (name: string) =>
  readPool(`<pool type='dir'><name>${name}</name><target><path>/${name}</path></target></pool>`);
let folder = '';
let reports: string[] = [];
let definitions: Definitions<PoolDefinition>;

beforeEach(({ task }) => {
  folder = at(task.id);
  reports = [];
  definitions = new Definitions(folder, { read: readPool, write: writePool }, (line) => reports.push(line));
});

describe('definitions', () => {
  it('are found again, with their marks', () => {
    expect(definitions.all()).toEqual([]);
    const [b, a] = [pool('b'), pool('a')];
    for (const each of [b, a]) definitions.put(each);
    definitions.setAutostart('b', true);
    definitions.setAutostart('b', true);
    expect(definitions.all()).toEqual([a, b]);
    expect(definitions.isAutostarted('b')).toBe(true);
    expect(readFileSync(join(folder, 'autostart/b.xml'), 'utf8')).toBe(writePool(b));
    definitions.remove('b');
    definitions.remove('b');
    expect(definitions.names()).toEqual(['a']);
    expect(definitions.isAutostarted('b')).toBe(false);
    expect(reports).toEqual([]);
  });

  it.each([
    ['cut off', (path: string) => truncateSync(path, 40)],
    ['empty', (path: string) => writeFileSync(path, '')],
    ["another one's", (path: string) => writeFileSync(path, writePool(pool('other')))],
    ['no document', (path: string) => writeFileSync(path, Buffer.from([0xff, 0, 1, 2]))],
    ['huge', (path: string) => truncateSync(path, 2 ** 33)],
  ])('that are %s are set aside as they are, and told', (_, damage) => {
    definitions.put(pool('good'));
    definitions.put(pool('bad'));
    damage(join(folder, 'bad.xml'));
    expect(definitions.all().map(({ name }) => name)).toEqual(['good']);
    expect(existsSync(join(folder, 'bad.xml'))).toBe(true);
    definitions.mend();
    expect(reports).toEqual([
      expect.stringMatching(/bad\.xml is damaged: .*; it was set aside as .*\.damaged-\d+$/),
    ]);
    const aside = readdirSync(folder).filter((name) => name.includes('damaged'));
    expect(aside).toHaveLength(1);
    definitions.put(pool('bad'));
    expect(definitions.all()).toHaveLength(2);
  });

  it('do not write over a damaged one', () => {
    definitions.put(pool('bad'));
    writeFileSync(join(folder, 'bad.xml'), 'precious');
    definitions.put(pool('bad'));
    const aside = readdirSync(folder).find((name) => name.includes('damaged'))!;
    expect(readFileSync(join(folder, aside), 'utf8')).toBe('precious');
  });

  it('do not see what a killed process was writing', () => {
    mkdirSync(folder);
    writeFileSync(join(folder, '.new'), '<pool');
    expect(definitions.all()).toEqual([]);
    definitions.put(pool('a'));
    expect(definitions.all()).toHaveLength(1);
  });

  it.each(['', '.', '..', '.new', 'a/b', '../a', 'a\0b', 'a\nb', '\x7f', 'x'.repeat(201), 'ä'.repeat(101)])(
    'have no name like %j',
    (name) => {
      expect(isFileName(name)).toBe(false);
      expect(definitions.get(name)).toBeUndefined();
    },
  );

  it('have names like others that are strange', () => {
    for (const name of ['a b', "'; rm -rf $HOME", 'ä', '*', '-n', 'x'.repeat(200)])
      expect(isFileName(name)).toBe(true);
  });
});

describe('processes at once', () => {
  it('define the same pools, and each definition is of one of them', { timeout: 100_000 }, async () => {
    const env = { ...process.env, XENNER_CONFIG_DIR: at('etc'), XENNER_RUN_DIR: at('run') };
    const define = (name: string, target: string) =>
      new Promise<number | null>((resolve) => {
        const words = ['pool-define-as', name, 'dir', '--target', target];
        spawn(process.execPath, [CLI, ...words], { env, stdio: 'ignore' }).once('exit', resolve);
      });
    const statuses = await Promise.all(
      [0, 1, 2, 3, 4, 5].map((n) => define(n % 2 ? 'same' : `own-${n}`, n % 2 ? `/same-${n}` : `/own-${n}`)),
    );
    // Of three with one name and different UUIDs the first has it.
    expect(statuses.filter((status) => status === 0)).toHaveLength(4);
    const found = new Definitions(at('etc/storage'), { read: readPool, write: writePool }, (line) =>
      reports.push(line),
    );
    expect(found.names()).toEqual(['own-0', 'own-2', 'own-4', 'same']);
    expect(found.all()).toHaveLength(4);
    expect(reports).toEqual([]);
  });
});
