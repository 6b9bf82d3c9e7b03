/** What guest memory is made of, on a real KVM: huge pages that are set aside and given back, KSM, and what each is worth. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { median } from '../../bench/lib/report.mjs';
import { initramfs, kernel } from '../boot/lib/images.js';
import { buildKernel } from '../fuzz/kernels.js';
import { inLab, inOwnLab, ROOT } from './lib/lab.js';

/** 192 MiB of a guest, Xen's frames behind them, and the 54 MiB that nobody takes. */
const PAGES = 110;
/** 64 MiB of another. */
const NODE_PAGES = 40;
const ROUNDS = 3;
/** Equal pages of two guests: their kernels' code alone is thousands. */
const MERGED = 1000;

const image = kernel('backports');
let build: string;
let ramdisk: string;
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'xenner-lab-memory-'));
  const guestWork = join(build, 'guest-work');
  execFileSync('gcc', ['-O2', '-static', '-o', guestWork, join(ROOT, 'bench/guest-work.c')]);
  ramdisk = initramfs(join(build, 'initramfs.cpio'), { '/bin/guest-work': guestWork });
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

it('a guest boots on huge pages, which the host has again afterwards', async (context) => {
  if ('missing' in image) return context.skip(image.missing);
  const pool = '/sys/kernel/mm/hugepages/hugepages-2048kB';
  const program = `echo ${PAGES} >${pool}/nr_hugepages; cat ${pool}/free_hugepages
    node test/lab/programs/backing.mjs '${image.path}' '${ramdisk}' ${ROUNDS} none 2M thp
    cat ${pool}/free_hugepages; echo 0 >${pool}/nr_hugepages`;
  const { status, stdout, stderr } = await inLab(context, ['bash', '-c', program], { timeoutS: 270 });
  expect(status, stderr).toBe(0);
  const [before, ...lines] = stdout.trim().split('\n');
  expect(Number(before), 'pages set aside').toBe(PAGES);
  expect(Number(lines.pop()), 'pages given back').toBe(PAGES);
  const runs = lines.map((line) => JSON.parse(line) as { kind: string; bootMs: number; touchMs: number });
  expect(runs).toHaveLength(3 * ROUNDS);
  for (const kind of ['none', '2M', 'thp']) {
    const of = (what: 'bootMs' | 'touchMs') =>
      median(runs.filter((run) => run.kind === kind).map((run) => run[what])).toFixed(0);
    console.log(`memory-${kind}: ${of('bootMs')} ms to /init, ${of('touchMs')} ms to touch 96 MiB`);
  }
});

it('memory of a NUMA node is all on that node', async (context) => {
  const pool = (node: number) =>
    `/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`;
  const program = `for pool in ${pool(0)} ${pool(1)}; do echo ${NODE_PAGES} >$pool; done
    node test/lab/programs/numa.mjs '${buildKernel('guest/bench-restore')}' none 2M thp`;
  const { status, stdout, stderr } = await inOwnLab(
    context,
    ['--nodes', '2', '--memory', '1536'],
    ['bash', '-ec', program],
  );
  expect(status, stderr).toBe(0);
  const runs = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { node: number; KiB: object });
  expect(runs).toHaveLength(6);
  for (const { node, KiB } of runs) {
    expect(Object.keys(KiB)).toEqual([`N${node}`]);
    // What the guest has touched.
    expect(Object.values(KiB)[0]).toBeGreaterThan(32 * 1024);
  }
});

it('KSM merges what two guests have in common, and takes it apart when they are gone', async (context) => {
  if ('missing' in image) return context.skip(image.missing);
  const program = ['node', 'test/lab/programs/ksm.mjs', image.path, ramdisk];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 270 });
  expect(status, stderr).toBe(0);
  const saved = JSON.parse(stdout) as Record<'one' | 'two', number>;
  console.log(`KSM: ${saved.one} pages saved of one guest of 96 MiB, ${saved.two} of two`);
  expect(saved.two - saved.one).toBeGreaterThan(MERGED);
});

it('huge pages are set aside, a domain is told to have them, and they are given back when it is gone', async (context) => {
  if ('missing' in image) return context.skip(image.missing);
  const program = ['node', 'test/lab/programs/host.mjs', 'hugepages', image.path, ramdisk];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 270 });
  expect(status, stderr).toBe(0);
  const { reserved, all, refused, released } = JSON.parse(stdout);
  expect([reserved, released]).toEqual(['There are 80 pages of 2M\n\n', 'There are 0 pages of 2M\n\n']);
  const pool = all.pools.find(({ sizeKiB }: { sizeKiB: number }) => sizeKiB === 2048);
  // What a guest has not touched is promised to it, and counts as free.
  expect(all.domains).toMatchObject([
    { name: 'large', hugepages: [{ sizeKiB: 2048, node: 0, pages: 80 - pool.free }] },
  ]);
  expect(80 - pool.free).toBeGreaterThan(20);
  expect(refused).toMatch(/^xenner: \d+ of 80 pages of 2048 KiB are free, not 80;/);
});

it('KSM is told of each domain, and takes apart what it merged', async (context) => {
  if ('missing' in image) return context.skip(image.missing);
  const program = ['node', 'test/lab/programs/host.mjs', 'ksm', image.path, ramdisk];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 270 });
  expect(status, stderr).toBe(0);
  const { merged, refused, left, run } = JSON.parse(stdout);
  expect(merged).toMatchObject({ state: 'on', domains: [{ name: 'one' }, { name: 'two' }] });
  for (const { mergingPages } of merged.domains) expect(mergingPages).toBeGreaterThan(MERGED);
  expect(merged.pagesSharing).toBeGreaterThan(MERGED);
  expect(refused).toMatch(/cannot change while \d+ pages are; .* --unmerge/);
  expect([left, run]).toEqual([0, 0]);
});

it('pages are set aside on the node that was asked for', async (context) => {
  const program = `xenner() { node dist/cli/main.js "$@"; }
    xenner hugepages reserve 2M 40 --node 1; xenner allocpages 2M 7 --cellno 0
    xenner hugepages --json; xenner hugepages release 2M 41 --node 1 || xenner hugepages release 2M 40 --node 1`;
  const { status, stdout, stderr } = await inOwnLab(
    context,
    ['--nodes', '2', '--memory', '1536'],
    ['bash', '-c', program],
  );
  expect(status, stderr).toBe(0);
  const { pools } = JSON.parse(/^\{.*^\}$/ms.exec(stdout)?.[0] ?? '');
  const totals = pools.flatMap(({ sizeKiB, total }: { sizeKiB: number; total: number }) =>
    sizeKiB === 2048 ? [total] : [],
  );
  expect(totals).toEqual([47, 7, 40]);
  expect(stderr).toContain('40 of 40 pages of 2048 KiB are free, not 41');
  expect(stdout.endsWith('There are 0 pages of 2M on node 1\n\n')).toBe(true);
});
