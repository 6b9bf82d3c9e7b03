/** KSM: when the governor has it work, when it may be taken apart; by tables, on machines that are files, and on this host's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { ksmFacts, startKsm, stopKsm, tuneKsm } from '../../../../src/mgmt/host/ksm.js';
import { DEFAULT_LIMITS, decideKsm, type KsmDecision } from '../../../../src/mgmt/host/ksm-governor.js';
import { processMemory } from '../../../../src/mgmt/host/process-memory.js';
import { outcomeOf } from '../../storage/pool/virsh.js';
import { machine, removeMachines } from './machine.js';

const CLI = new URL('../../../../dist/cli/main.js', import.meta.url).pathname;
const KSM = 'sys/kernel/mm/ksm';
const GIB = 2 ** 20;
afterEach(removeMachines);

describe('the governor on a host of 16 GiB, 20% of which is the threshold', () => {
  const total = 16 * GIB;
  const on = (pagesToScan: number, sleepMs = 10): KsmDecision => ({ run: true, pagesToScan, sleepMs });
  it.each<[string, { available: number; committed: number; scanned: number }, KsmDecision]>([
    ['much free, little committed', { available: 12 * GIB, committed: GIB, scanned: 500 }, { run: false }],
    ['much free, much committed', { available: 12 * GIB, committed: 14 * GIB, scanned: 500 }, on(450)],
    ['little free, little committed', { available: 3 * GIB, committed: GIB, scanned: 500 }, on(800)],
    ['little free, much committed', { available: GIB, committed: 20 * GIB, scanned: 500 }, on(800)],
    ['not above the most', { available: GIB, committed: GIB, scanned: 1200 }, on(1250)],
    ['not below the least', { available: 12 * GIB, committed: 14 * GIB, scanned: 70 }, on(64)],
    [
      'more than the host has, from the beginning',
      { available: 0, committed: 99 * GIB, scanned: 0 },
      on(300),
    ],
  ])('%s', (_, { scanned, ...pressure }, decision) => {
    expect(decideKsm({ total, ...pressure }, scanned)).toEqual(decision);
  });

  it('sleeps longer on a smaller host, never below 10 ms', () => {
    const short = { available: 0, committed: 0 };
    expect(decideKsm({ total: 4 * GIB, ...short }, 100)).toEqual(on(400, 40));
    expect(decideKsm({ total: 256 * GIB, ...short }, 100)).toEqual(on(400, 10));
  });

  it('takes other limits', () => {
    const limits = { ...DEFAULT_LIMITS, thresholdPercent: 90, boostPages: 1, maxPages: 65 };
    expect(decideKsm({ total, available: 14 * GIB, committed: 0 }, 64, limits)).toEqual(on(65));
  });
});

describe('taking apart', () => {
  const files = (sharing: number, availableKiB: number) => ({
    [`${KSM}/run`]: '1',
    [`${KSM}/pages_shared`]: '1',
    [`${KSM}/pages_sharing`]: `${sharing}`,
    [`${KSM}/merge_across_nodes`]: '1',
    [`${KSM}/pages_to_scan`]: '100',
    'proc/meminfo': `MemTotal: 9999 kB\nMemFree: 1 kB\nMemAvailable: ${availableKiB} kB\n`,
  });
  const run = (host: ReturnType<typeof machine>) => readFileSync(host.path(`${KSM}/run`), 'latin1');

  it('what is merged needs its memory again: refused where that is not there, but by force', () => {
    const host = machine(files(101, 400));
    expect(() => stopKsm({ unmerge: true }, host)).toThrow(
      /needs 404 KiB .* 400 KiB are available; .* --force/,
    );
    expect(run(host)).toBe('1');
    stopKsm({ unmerge: true, force: true }, host);
    expect(run(host)).toBe('0');
    const enough = machine(files(100, 400));
    stopKsm({ unmerge: true }, enough);
    expect(run(enough)).toBe('0');
  });

  it('comes before merging across nodes can change', () => {
    const host = machine(files(1, 400));
    expect(() => tuneKsm({ pagesToScan: 7, mergeAcrossNodes: false }, host)).toThrow(
      /while 1 pages are; .* --unmerge/,
    );
    expect(ksmFacts(host)).toMatchObject({ pagesToScan: 100, mergeAcrossNodes: true });
    tuneKsm({ mergeAcrossNodes: true }, host);
    writeFileSync(host.path(`${KSM}/pages_shared`), '0');
    tuneKsm({ pagesToScan: 7, mergeAcrossNodes: false }, host);
    expect(ksmFacts(host)).toMatchObject({ pagesToScan: 7, mergeAcrossNodes: false });
  });
});

describe('what a process has', () => {
  const SMAPS = 'Rss: 100 kB\nAnonHugePages:      4096 kB\nShmemPmdMapped:     2048 kB\n';
  it('by node and size; private and shared huge pages, whatever they are called', () => {
    const host = machine({
      'proc/5/smaps_rollup': SMAPS,
      'proc/5/numa_maps': [
        '7f00 bind:1 file=/memfd:guest\\040huge (deleted) huge dirty=5 N0=2 N1=3 kernelpagesize_kB=2048',
        '7f10 default file=/anon_hugepage\\040(deleted) huge anon=1 dirty=1 N1=1 kernelpagesize_kB=2048',
        '7f20 default huge N0=1 kernelpagesize_kB=1048576',
        '7f30 default heap anon=9 N0=9 kernelpagesize_kB=4',
        '7f40 default file=/huge N0=9 kernelpagesize_kB=4',
        'nonsense huge N0=x N1=-1 kernelpagesize_kB=-2',
      ].join('\n'),
      'proc/5/ksm_stat':
        'ksm_rmap_items 7\nksm_zero_pages 2\nksm_merging_pages 30\nksm_process_profit -64\nksm_merge_any: no\n',
    });
    expect(processMemory(5, host)).toEqual({
      hugepages: [
        { sizeKiB: 2048, node: 0, pages: 2 },
        { sizeKiB: 2048, node: 1, pages: 4 },
        { sizeKiB: 2 ** 20, node: 0, pages: 1 },
      ],
      transparentKiB: 6144,
      ksm: { mergingPages: 30, zeroPages: 2, profitBytes: -64 },
    });
  });

  it('as older kernels tell it, and not at all', () => {
    const host = machine({ 'proc/5/smaps_rollup': SMAPS, 'proc/5/ksm_merging_pages': '12\n' });
    expect(processMemory(5, host)).toEqual({
      hugepages: [],
      transparentKiB: 6144,
      ksm: { mergingPages: 12 },
    });
    expect(processMemory(6, host)).toBeUndefined();
    expect(processMemory(process.pid)).toMatchObject({ hugepages: expect.any(Array) });
  });
});

const unable = (() => {
  if (process.getuid!() !== 0) return 'only root may set it';
  try {
    ksmFacts();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
})();

describe.skipIf(unable !== undefined)(`this host's KSM${unable ? ` (skipped: ${unable})` : ''}`, () => {
  const knobs = ['pages_to_scan', 'sleep_millisecs', 'run'];
  const read = () => knobs.map((knob) => readFileSync(`/${KSM}/${knob}`, 'latin1'));
  const xenner = (...args: string[]) => outcomeOf(process.execPath, [CLI, 'ksm', ...args], {});

  it('is on, off, tuned, and as it was found when the governor has ended', async () => {
    const before = read();
    try {
      expect(await xenner('tune', 'pages-to-scan=77', 'sleep=33')).toMatchObject({ status: 0, stderr: '' });
      expect(await xenner('on')).toMatchObject({ status: 0, stderr: '' });
      expect(ksmFacts()).toMatchObject({ state: 'on', pagesToScan: 77, sleepMs: 33 });
      const { stdout } = await xenner('status', '--json');
      expect(JSON.parse(stdout)).toMatchObject({ state: 'on', pagesToScan: 77, domains: expect.any(Array) });
      // All memory is below this threshold.
      const governor = spawn(process.execPath, [CLI, 'ksm', 'governor', '--threshold-percent', '100']);
      const [line] = (await once(governor.stdout, 'data')) as [Buffer];
      expect(String(line)).toMatch(/: on, 377 pages, then \d+ ms of sleep\n$/);
      expect(ksmFacts()).toMatchObject({ state: 'on', pagesToScan: 377 });
      governor.kill('SIGTERM');
      expect(await once(governor, 'exit')).toEqual([0, null]);
      expect(ksmFacts()).toMatchObject({ state: 'on', pagesToScan: 77, sleepMs: 33 });
      expect(await xenner('off')).toMatchObject({ status: 0, stderr: '' });
      expect(ksmFacts().state).toBe('off');
    } finally {
      for (const [i, value] of before.entries()) writeFileSync(`/${KSM}/${knobs[i]}`, value);
    }
  });

  it.each([
    [['tune', 'merge-across-nodes=2'], 'knobs are pages-to-scan, sleep, merge-across-nodes'],
    [['tune', 'pages-to-scan=-1'], 'with a number'],
    [['tune', 'pages-to-scan=4294967296'], 'with a number'],
    [['tune', 'run=1'], 'knobs are'],
  ])('%j is refused', async (words, reason) => {
    const { status, stderr } = await xenner(...words);
    expect([status, stderr]).toEqual([2, expect.stringContaining(reason)]);
  });
});

it('whose right it is to set, is told', () => {
  const host = machine({ [`${KSM}/run`]: '0' });
  expect(() => tuneKsm({ sleepMs: 1 }, host)).toThrow("this kernel has no KSM's sleep");
  if (process.getuid!() === 0) return;
  expect(() => startKsm()).toThrow(/only root may write|has no KSM/);
});
