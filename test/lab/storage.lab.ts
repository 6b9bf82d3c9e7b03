/** Storage pools of real devices: what xenner says of them is what virsh says of the same ones, on the same host, at the same time. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, type TestContext } from 'vitest';
import { inLab, ROOT } from './lib/lab.js';

interface Documents {
  readonly pool: string;
  readonly volumes: Readonly<Record<string, string>>;
}

interface Results {
  readonly ours: Documents;
  readonly theirs: Documents;
  readonly sources?: { readonly ours: string; readonly theirs: string };
  readonly [more: string]: unknown;
}

const place = mkdtempSync(join(tmpdir(), 'xenner-lab-storage-'));
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Looking at a device is an access to it. */
const steady = (document: string) => document.replace(/<(.time)>[^<]*</g, '<$1><').trimEnd();

/** Of an MBR, libvirt forgets what a partition was made for. */
const withoutFormat = (document: string) =>
  document.replace(/<format type='(linux-swap|extended)'/, "<format type='none'");

/** What libparted takes for free depends on the heads and cylinders that it thinks a disk has. */
const withoutGeometry = (document: string) =>
  withoutFormat(document)
    .replace(/<(capacity|available) .*|.*<freeExtent .*\n|.*<\/device>\n/g, '')
    .replace(/(path='[^']*')\/?>/, '$1>');

function expectSame({ ours, theirs }: Results, shown = (document: string) => document): void {
  expect(shown(steady(ours.pool))).toBe(shown(steady(theirs.pool)));
  expect(Object.keys(ours.volumes).sort()).toEqual(Object.keys(theirs.volumes).sort());
  for (const [name, document] of Object.entries(ours.volumes))
    expect(shown(steady(document)), name).toBe(shown(steady(theirs.volumes[name]!)));
  expectValid(ours);
}

function expectSameSources({ sources }: Results): void {
  expect(sources!.ours).toContain('<source>');
  expect(sources!.ours.trim()).toBe(sources!.theirs.trim());
}

function expectValid({ pool, volumes }: Documents): void {
  const valid = (schema: string, document: string, i: number) => {
    const file = join(place, `${schema}-${i}.xml`);
    writeFileSync(file, document);
    return file;
  };
  const rng = (name: string) => ['--noout', '--relaxng', `/usr/share/libvirt/schemas/${name}.rng`];
  const files = Object.values(volumes).map((document, i) => valid('storagevol', document, i));
  execFileSync('xmllint', [...rng('storagepool'), valid('storagepool', pool, 0)], { stdio: 'pipe' });
  if (files.length > 0) execFileSync('xmllint', [...rng('storagevol'), ...files], { stdio: 'pipe' });
}

async function run(context: TestContext, ...scenarios: string[]): Promise<Record<string, Results>> {
  const programs = join(ROOT, 'test/lab/programs');
  const command = ['bash', join(programs, 'storage.sh'), 'node', join(programs, 'storage.mjs'), ...scenarios];
  const { status, stdout, stderr } = await inLab(context, command, { timeoutS: 290 });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}

it('pools of file systems and disks are what libvirt makes of them', async (context) => {
  const { fs, gpt, dos } = await run(context, 'fs', 'gpt', 'dos');

  expectSame(fs!);
  expect(fs).toMatchObject({
    built: 'VIR_ERR_STORAGE_POOL_BUILT',
    lost: { state: 'inaccessible', made: 'VIR_ERR_OPERATION_INVALID' },
    again: ['cow', 'lost+found', 'raw'],
  });

  expectSame(gpt!);
  expectSame(dos!, withoutGeometry);
  for (const disk of [gpt, dos])
    expect(disk).toMatchObject({
      built: 'VIR_ERR_STORAGE_POOL_BUILT',
      misnamed: 'VIR_ERR_INVALID_ARG',
      huge: 'VIR_ERR_INTERNAL_ERROR',
    });
  // Of no table, and of the other's, which are on the same disk.
  expect([gpt!.unbuilt, dos!.unbuilt]).toEqual(['VIR_ERR_OPERATION_FAILED', 'VIR_ERR_OPERATION_INVALID']);
  expect(gpt!.fewer).toEqual(['1', '3']);
  expect(dos!.fewer).toEqual(['1', '3', '4', '5']);
});

it('pools of volume groups are what libvirt makes of them', async (context) => {
  const { logical } = await run(context, 'logical');

  expectSame(logical!);
  expect(logical).toMatchObject({
    built: 'VIR_ERR_STORAGE_POOL_BUILT',
    copied: true,
    listed: ['copy', 'plain', 'snap', 'sparse'],
    refused: 'VIR_ERR_OPERATION_FAILED',
    // What is being made stays, what nobody makes any more does not.
    after: ['alive', 'copy', 'plain', 'snap', 'sparse'],
    byKey: '/dev/xenner_lab/plain',
    fewer: ['plain', 'sparse'],
  });
  expectSameSources(logical!);
});

it('pools of SCSI hosts and of iSCSI are what libvirt makes of them', async (context) => {
  const { scsi, iscsi } = await run(context, 'scsi', 'iscsi');

  expectSame(scsi!);
  expect(scsi).toMatchObject({
    before: ['unit:0:0:0'],
    after: ['unit:0:0:0', 'unit:0:0:1'],
    refused: ['VIR_ERR_NO_SUPPORT', 'VIR_ERR_OPERATION_FAILED', 'VIR_ERR_INTERNAL_ERROR'],
    pulled: ['unit:0:0:0'],
  });

  expectSame(iscsi!);
  expect(iscsi).toMatchObject({ lost: 'inaccessible', initiator: 'iqn.2026-01.org.example:me', left: [] });
  expectSameSources(iscsi!);
});
