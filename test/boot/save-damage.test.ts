/** Save files that are damaged, half written or somebody's work; and saves that fail. Nothing hangs, nothing is lost, all is said. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDomain, type Domain, restoreDomain, XennerError } from 'xenner';
import { CLI } from './lib/cli.js';
import { scratch } from './lib/images.js';

const dir = scratch('save-damage');
const kernels = join(dir, 'kernels');
const file = join(dir, 'guest.save');
const PAGE = 4096;
const ROUNDS = Number(process.env.XENNER_FUZZ_SAVE ?? 60);
const TIMEOUT_MS = 240_000;

/** It says every millisecond that it runs. */
async function tickingGuest(): Promise<Domain> {
  const kernel = join(kernels, 'bench-restore.elf');
  const domain = await createDomain({ kernel, memoryMiB: 64, engine: 'soft' });
  while (!domain.consoleTail.includes('tick')) await once(domain, 'console');
  return domain;
}

beforeAll(async () => {
  const make = ['-s', '-C', 'test/guest', `OUT=${kernels}`, 'names=bench-restore'];
  execFileSync('make', make, { stdio: ['ignore', 'ignore', 'inherit'] });
  await (await tickingGuest()).save(file);
}, 120_000);
afterAll(() => fs.rmSync(dir, { recursive: true }));

async function refusal(path: string, options = {}): Promise<string> {
  const outcome = await restoreDomain(path, { engine: 'soft', ...options }).then(
    async (domain) => {
      await domain.destroy();
      return 'restored';
    },
    (error) => error as XennerError,
  );
  if (outcome === 'restored') return outcome;
  expect(outcome).toBeInstanceOf(XennerError);
  const { code, message } = outcome as XennerError;
  expect(code, message).not.toBe('EINTERNAL');
  expect(message).not.toMatch(/\n/);
  return code;
}

/** A copy with a change. */
function damaged(change: (bytes: Buffer) => Buffer): string {
  const path = join(dir, 'damaged.save');
  fs.writeFileSync(path, change(fs.readFileSync(file)));
  return path;
}

/** What the file says, as somebody who wants it to be believed would change it. */
function forged(change: (state: Record<string, unknown>) => void): string {
  return damaged((bytes) => {
    const stateBytes = Number(bytes.readBigUInt64LE(24));
    const sumsBytes = Number(bytes.readBigUInt64LE(32));
    const memoryAt = Number(bytes.readBigUInt64LE(40));
    const state = JSON.parse(bytes.subarray(PAGE, PAGE + stateBytes).toString());
    const sums = bytes.subarray(PAGE + stateBytes, PAGE + stateBytes + sumsBytes);
    change(state);
    const text = Buffer.from(JSON.stringify(state));
    const at = Math.ceil((PAGE + text.length + sumsBytes) / PAGE) * PAGE;
    const out = Buffer.alloc(at + bytes.length - memoryAt);
    bytes.copy(out, 0, 0, PAGE);
    text.copy(out, PAGE);
    sums.copy(out, PAGE + text.length);
    bytes.copy(out, at, memoryAt);
    out.writeBigUInt64LE(BigInt(text.length), 24);
    out.writeBigUInt64LE(BigInt(at), 40);
    createHash('sha256').update(text).update(sums).digest().copy(out, 56);
    createHash('sha256').update(out.subarray(0, 88)).digest().copy(out, 88);
    return out;
  });
}

describe('a file is refused', () => {
  it.each<[string, (bytes: Buffer) => Buffer, string]>([
    ['that is empty', () => Buffer.alloc(0), 'ESAVE_FILE'],
    ['that is text', () => Buffer.from('no saved domain\n'.repeat(1000)), 'ESAVE_FILE'],
    ['without its header: not written to its end', (b) => b.fill(0, 0, PAGE), 'ESAVE_DAMAGED'],
    ['of another version', (b) => b.fill(9, 16, 17), 'ESAVE_FILE'],
    ['with a changed size in the header', (b) => b.fill(1, 50, 51), 'ESAVE_FILE'],
    ['with a changed state', (b) => b.fill(0x20, PAGE + 100, PAGE + 101), 'ESAVE_DAMAGED'],
    ['that is a byte short', (b) => b.subarray(0, b.length - 1), 'ESAVE_DAMAGED'],
    ['that is half of one', (b) => b.subarray(0, b.length / 2), 'ESAVE_DAMAGED'],
    ['that is only its header', (b) => b.subarray(0, PAGE), 'ESAVE_DAMAGED'],
    ['with something behind it', (b) => Buffer.concat([b, Buffer.alloc(1)]), 'ESAVE_DAMAGED'],
  ])('%s', async (_, change, code) => {
    expect(await refusal(damaged(change))).toBe(code);
  });

  it('that is none', async () => {
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const path of [dir, '/dev/null', fifo, join(dir, 'nothing')])
      expect(await refusal(path)).toBe('ESAVE_FILE');
  });

  it('whose memory has changed, when it is to be verified', async () => {
    const path = damaged((bytes) =>
      bytes.fill(0x5a, bytes.length - 70 * 2 ** 20, bytes.length - 70 * 2 ** 20 + 1),
    );
    expect(await refusal(path, { verify: true })).toBe('ESAVE_DAMAGED');
    expect(await refusal(file, { verify: true })).toBe('restored');
  });

  it.each<[string, unknown, string?]>([
    ['config.memoryMiB', 128],
    ['config.vcpus', 2],
    ['config.profile', 'xen-9', 'EPROFILE'],
    ['clock', undefined],
    ['clock.systemNs', -1],
    ['config.uuid', 'x'.repeat(100_000)],
    ['consolePfn', 1e9],
    ['events.channels.0.port', 4095],
    ['events.channels.0.vcpu', 7],
    ['events.hostEnds', []],
    ['events.validPorts', 63],
    ['grants.mappings', [[0, 1, 2]]],
    ['grants.nrFrames', 99],
    ['freeFrames', 'A'.repeat(20_000)],
    ['vcpus', []],
    ['vcpus.0.vcpuInfo', 4090],
    ['vcpus.0.cpu', ['0x0']],
    ['vcpus.0.cpu.22', '0xfffffffffffffff'], // efer
    ['vcpus.0.fpu', 'AAAA'],
    ['vcpus.0.started', false],
    ['vcpus.0.cpuid.1.ecx', 0xffffffff, 'ESAVE_CPU'],
  ])('that says that %s is %j', async (place, value, code = 'ESAVE_DAMAGED') => {
    expect(await refusal(forged((state) => put(state, place.split('.'), value)))).toBe(code);
  });
});

describe('xenner inspect', () => {
  const inspect = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'inspect', ...args], {
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };

  it('says what a save file is', () => {
    const { status, stdout } = inspect('--json', file);
    expect(status).toBe(0);
    const { savedAt, fileBytes, version, name, uuid, ...report } = JSON.parse(stdout);
    expect(report).toEqual({
      engine: 'soft',
      profile: 'xen-4.17-v1',
      memoryMiB: 64,
      vcpus: 1,
      vcpusOnline: 1,
      kernel: join(kernels, 'bench-restore.elf'),
      ramdisk: null,
      cmdline: '',
      fastPaths: true,
    });
    expect(Math.abs(Date.now() - Date.parse(savedAt))).toBeLessThan(TIMEOUT_MS);
    expect(version).toMatch(/^\d+\.\d+$/);
    expect(name).not.toBe('');
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(fileBytes).toBe(fs.statSync(file).size);
    const text = inspect(file).stdout;
    expect(text).toMatch(/^format +a saved guest, format \d+\.\d+$/m);
    expect(text).toMatch(/^vCPUs +1, 1 of them online$/m);
  });

  it.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    ['half of one', (b) => b.subarray(0, b.length / 2), /is damaged: it has \d+ bytes where it had/],
    [
      'with a changed state',
      (b) => b.fill(0x20, PAGE + 100, PAGE + 101),
      /is damaged: its state has changed/,
    ],
    ['with a changed header', (b) => b.fill(9, 16, 17), /no saved domain, or a damaged one/],
  ])('%s', (_, change, why) => {
    const { status, stdout, stderr } = inspect(damaged(change));
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(why);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
  });

  it('with a state that drives no terminal', () => {
    const path = forged((state) => put(state, ['config', 'cmdline'], '\u001b[2J'));
    expect(inspect(path).stdout).toMatch(/^command line +\\x1b\[2J$/m);
    const dated = forged((state) => put(state, ['savedAt'], '\u001b[2J'));
    expect(inspect(dated).status).toBe(1);
  });
});

function put(object: Record<string, unknown>, [name = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length > 0) put(object[name] as Record<string, unknown>, rest, value);
  else object[name] = value;
}

/** xorshift: the same changes every time. */
function random(seed: number): (below: number) => number {
  let state = seed * 2654435761 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Somewhere in it, something else. */
function mutate(value: unknown, draw: (below: number) => number): unknown {
  if (typeof value === 'object' && value !== null) {
    const copy = structuredClone(value) as Record<string, unknown>;
    const names = Object.keys(copy);
    const name = names[draw(names.length)];
    if (name !== undefined) copy[name] = mutate(copy[name], draw);
    return copy;
  }
  const odd = [
    null,
    -1,
    0,
    1,
    2 ** 31,
    1e300,
    '',
    '0x0',
    `0x${'f'.repeat(16)}`,
    'A'.repeat(5000),
    [],
    {},
    true,
  ];
  if (typeof value === 'string' && value.startsWith('0x') && draw(2) === 0) {
    return `0x${(BigInt(value) ^ (1n << BigInt(draw(64)))).toString(16)}`;
  }
  return odd[draw(odd.length)];
}

it(`${ROUNDS} files at random are refused, or their guest runs to some end`, {
  timeout: TIMEOUT_MS,
}, async () => {
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const draw = random(seed);
    const path = forged((state) => {
      for (let i = draw(3); i >= 0; i--) Object.assign(state, mutate(state, draw));
    });
    const start = restoreDomain(path, { engine: 'soft' });
    const domain = await start.catch((error: XennerError) => {
      expect(error.code, `seed ${seed}: ${error.message}`).toMatch(/^ESAVE|^EPROFILE$|^EMEMORY|^E[A-Z_]+$/);
      expect(error.code, `seed ${seed}: ${error.message}`).not.toBe('EINTERNAL');
      return undefined;
    });
    if (domain === undefined) continue;
    await new Promise((done) => setTimeout(done, 20));
    await domain.destroy();
    await domain
      .wait()
      .catch((error: XennerError) => expect(error.code, `seed ${seed}`).not.toBe('EINTERNAL'));
  }
});

describe('a save that fails', () => {
  it.each([
    ['into a folder that is none', join(dir, 'nowhere/x.save')],
    ['over a folder', dir],
    ['over a device', '/dev/full'],
    ['where nobody may write', '/proc/self/x.save'],
  ])('%s: the guest goes on', async (_, path) => {
    const domain = await tickingGuest();
    try {
      await expect(domain.save(path)).rejects.toMatchObject({ code: 'ESAVE' });
      await domain.save(join(dir, 'good.save'));
      expect(await domain.wait()).toEqual({ reason: 'saved' });
      expect(fs.readdirSync(dir).filter((name) => name.endsWith('.part'))).toEqual([]);
    } finally {
      await domain.destroy();
    }
  });

  it('for want of space: the guest goes on, and an older file is what it was', async (ctx) => {
    const small = join(dir, 'small');
    fs.mkdirSync(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', small]);
    if (mounted.status !== 0) return ctx.skip('no file system can be mounted here');
    const domain = await tickingGuest();
    try {
      fs.writeFileSync(join(small, 'x.save'), 'old');
      await expect(domain.save(join(small, 'x.save'))).rejects.toThrow(/ENOSPC|[Nn]o space/);
      expect(fs.readFileSync(join(small, 'x.save'), 'utf8')).toBe('old');
      expect(fs.readdirSync(small)).toEqual(['x.save']);
      await domain.save(join(dir, 'good.save'));
    } finally {
      await domain.destroy();
      execFileSync('umount', [small]);
    }
  });

  it('of a domain that has ended, or ends meanwhile', async () => {
    const domain = await tickingGuest();
    const saving = domain.save(join(dir, 'late.save')).catch((error: XennerError) => error.code);
    await domain.destroy();
    expect([undefined, 'EENDED', 'ESAVE']).toContain(await saving);
    await expect(domain.save(join(dir, 'late.save'))).rejects.toMatchObject({ code: 'ENOTRUNNING' });
  });
});

it('a file that is truncated under a running guest ends the guest, not the process', async () => {
  const path = damaged((bytes) => bytes);
  const domain = await restoreDomain(path, { engine: 'soft' });
  fs.truncateSync(path, PAGE * 4);
  await expect(domain.save(join(dir, 'other.save'))).rejects.toBeInstanceOf(XennerError);
  await expect(domain.wait()).rejects.toMatchObject({ code: 'ESAVE_BROKEN' });
});

it('memory of a special kind is read at once: then the file may go', async () => {
  const path = damaged((bytes) => bytes);
  const domain = await restoreDomain(path, { engine: 'soft', hugepages: 'thp' }).catch(
    (error: XennerError) => error,
  );
  if (domain instanceof XennerError) return expect(domain.code).toBe('ENOTHP');
  fs.truncateSync(path, 0);
  const seen = domain.consoleTail;
  while (domain.consoleTail === seen) await once(domain, 'console');
  await domain.save(join(dir, 'other.save'));
  expect(await refusal(join(dir, 'other.save'), { verify: true })).toBe('restored');
});
