/**
 * Every size, offset and constant of src/xenner/abi against Xen's public headers (libxen-dev), by a C program that is
 * generated from what the modules export. The headers' answers are kept in abi.golden.json, so that a machine without
 * them still checks; `UPDATE_GOLDEN=1` rewrites that file from the headers.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { askCompiler, askCompilerFor32 } from './compiler.js';
import { claimedFacts, cProgram, type Facts } from './facts.js';

const GOLDEN = new URL('abi.golden.json', import.meta.url);

function missing(): string | undefined {
  if (!existsSync('/usr/include/xen/xen.h')) return 'libxen-dev is not installed';
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'gcc is not installed';
  }
  return undefined;
}

const reason = missing();

describe("Xen's public headers", () => {
  it.skipIf(reason !== undefined)(
    `say what src/xenner/abi says${reason ? ` (skipped: ${reason})` : ''}`,
    async () => {
      const claimed = await claimedFacts();
      const answered = askCompiler(cProgram(claimed));
      if (process.env.UPDATE_GOLDEN === '1') writeFileSync(GOLDEN, `${JSON.stringify(answered, null, 1)}\n`);
      expect(claimed).toEqual(answered);
    },
  );

  it.skipIf(reason !== undefined)(
    `say for i386 what src/xenner/abi says${reason ? ` (skipped: ${reason})` : ''}`,
    async () => {
      const claimed = await claimedFacts(32);
      expect(claimed['sizeof(struct blkif_request)']).toBe('108');
      expect(claimed).toEqual(askCompilerFor32(claimed));
    },
  );

  it('said so when the golden file was written', async () => {
    const golden: Facts = JSON.parse(readFileSync(GOLDEN, 'utf8'));
    expect(await claimedFacts()).toEqual(golden);
  });

  it('are asked about everything that matters', async () => {
    const claimed = await claimedFacts();
    expect(Object.keys(claimed).length).toBeGreaterThan(900);
    expect(claimed['sizeof(struct start_info)']).toBe('1168');
    expect(claimed['offsetof(struct shared_info, evtchn_pending)']).toBe('2048');
    expect(claimed['offsetof(struct vcpu_guest_context, trap_ctxt[255].address)']).toBeDefined();
  });
});
