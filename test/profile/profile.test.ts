/**
 * Each ABI profile shows a guest what it has always shown: test/profile/golden/NAME.txt, everything in it as a guest has found it
 * out. That file of a profile that was released does not change; what is to change needs a profile of another name.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';
import { hasSoftCpu } from '../../src/kvm/index.js';
import { completeConfig } from '../../src/xenner/domain/config.js';
import { Domain } from '../../src/xenner/domain/domain.js';
import type { AbiProfile } from '../../src/xenner/profile/abi-profile.js';
import { findProfile, LATEST, PROFILES } from '../../src/xenner/profile/profiles.js';
import { buildDumpKernel, dump } from './dump.js';

const GOLDEN = join(import.meta.dirname, 'golden');
const BUILD = join(import.meta.dirname, '../../build/profile');
const SMALL = { memoryMiB: 64, vcpus: 1 };
const LARGE = { memoryMiB: 1000, vcpus: 3 };

let directory: string;
let kernel: string;
beforeAll(() => {
  mkdirSync(BUILD, { recursive: true });
  directory = mkdtempSync(join(BUILD, 'kernel-'));
  kernel = buildDumpKernel(directory);
}, 120_000);
afterAll(() => rmSync(directory, { recursive: true }));

const golden = (name: string) => readFileSync(join(GOLDEN, `${name}.txt`), 'utf8');

/** A small guest's dump, and the lines that a large one's has instead. */
async function fullDump(profile: AbiProfile): Promise<string> {
  const small = await dump(kernel, profile, SMALL);
  const known = new Set(small.split('\n'));
  const other = (await dump(kernel, profile, LARGE)).split('\n').filter((line) => !known.has(line));
  return `${small}--- With ${LARGE.memoryMiB} MiB and ${LARGE.vcpus} vCPUs\n${other.join('\n')}\n`;
}

describe.skipIf(!hasSoftCpu()).each(PROFILES.map((profile) => [profile.name, profile] as const))(
  '%s',
  (name, profile) => {
    it('shows a guest what its dump says', async () => {
      const actual = await fullDump(profile);
      expect(actual).toMatch(/^Test result: SUCCESS\n\[poweroff\]$/m);
      if (actual !== golden(name)) writeFileSync(join(BUILD, `${name}.txt`), actual);
      expect(actual, `the new dump is build/profile/${name}.txt`).toBe(golden(name));
    });

    it('shows the same without fast paths', async () => {
      const actual = await dump(kernel, profile, { ...SMALL, fastPaths: false });
      expect(golden(name).startsWith(`${actual}---`)).toBe(true);
    });
  },
);

/** Every profile that differs from this one in one fact, with the fact's path. */
function* changes(value: unknown, path: string): Generator<[path: string, changed: unknown]> {
  if (typeof value === 'string') yield [path, value.length === 12 ? `${value.slice(0, -1)}?` : `${value}?`];
  else if (typeof value === 'number') yield [path, value ^ 1];
  else if (typeof value === 'bigint') yield [path, value ^ 1n];
  else if (Array.isArray(value)) {
    for (const item of value) yield [`${path} without ${item}`, value.filter((each) => each !== item)];
  } else {
    for (const [key, part] of Object.entries(value as object)) {
      for (const [where, changed] of changes(part, `${path}.${key}`)) {
        yield [where, { ...(value as object), [key]: changed }];
      }
    }
  }
}

const latest = findProfile(LATEST);

describe.skipIf(!hasSoftCpu())('the dump tells from the profile', () => {
  const { name, ...facts } = latest;
  it.each([...changes(facts, name)])('%s', async (_, changed) => {
    const actual = await dump(kernel, { name, ...(changed as typeof facts) }, SMALL);
    expect(actual).toMatch(/^Test result: SUCCESS$/m);
    expect(golden(name).startsWith(`${actual}---`)).toBe(false);
  });
});

describe('profiles', () => {
  it('have names of one form, each once, and each a dump', () => {
    const names = PROFILES.map(({ name }) => name);
    for (const name of names) expect(name).toMatch(/^xen-\d+\.\d+-v\d+$/);
    expect(new Set(names).size).toBe(names.length);
    expect(readdirSync(GOLDEN).sort()).toEqual(names.map((name) => `${name}.txt`).sort());
    for (const { name, xen } of PROFILES) expect(name).toContain(`xen-${xen.major}.${xen.minor}-`);
  });

  it('cannot be changed', () => {
    const { xen, cpuid } = latest;
    expect(() => Object.assign(xen, { major: 5 })).toThrow(TypeError);
    expect(() => (cpuid.visible.leaf1Ecx as number[]).push(12)).toThrow(TypeError);
  });

  it('are found by name, and the last one as the latest', () => {
    for (const profile of PROFILES) expect(findProfile(profile.name)).toBe(profile);
    expect(latest).toBe(PROFILES.at(-1));
    const config = completeConfig({ kernel, profile: LATEST });
    expect(new Domain(config).profile).toBe(PROFILES.at(-1)?.name);
  });

  it.each(['', 'xen-4.17', 'XEN-4.17-V1', 'xen-4.17-v1 ', '__proto__', 'x'.repeat(1000)])(
    'no other name will do: %j',
    async (profile) => {
      const refused = createDomain({ kernel, profile });
      await expect(refused).rejects.toThrow(expect.objectContaining({ code: 'EPROFILE' }));
      await expect(refused).rejects.toThrow(/there are xen-4\.17-v1.* and latest/);
    },
  );
});
