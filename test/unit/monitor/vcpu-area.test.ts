/** src/xenner/monitor/vcpu-area.ts against native/monitor/vcpu_area.h, by the C compiler. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CStruct } from '../../../src/base/layout.js';
import * as area from '../../../src/xenner/monitor/vcpu-area.js';
import { askCompiler } from '../../abi/compiler.js';
import { addLayout, cProgram, type Facts } from '../../abi/facts.js';

const HEADER = fileURLToPath(new URL('../../../native/monitor/vcpu_area.h', import.meta.url));

function missing(): string | undefined {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'gcc is not installed';
  }
}

function claimed(): Facts {
  const facts: Facts = {};
  for (const [name, value] of Object.entries(area)) {
    if (value instanceof CStruct) addLayout(facts, value);
    else if (typeof value === 'number' || typeof value === 'bigint') facts[name] = `${value}`;
  }
  return facts;
}

const reason = missing();

describe('the vCPU area', () => {
  it.skipIf(reason !== undefined)(`is what vcpu_area.h says${reason ? ` (skipped: ${reason})` : ''}`, () => {
    const facts = claimed();
    expect(facts).toEqual(askCompiler(cProgram(facts, `#include "${HEADER}"\n`)));
  });

  it('has every constant of vcpu_area.h that the hypervisor could need', () => {
    const text = readFileSync(HEADER, 'utf8');
    const defined = [...text.matchAll(/^#define (\w+) /gm)].map((match) => match[1]!);
    const known = new Set(Object.keys(area));
    // Only the monitor itself needs these.
    const ownOnly = ['VECTOR_SYSCALL', 'VECTOR_SYSCALL_COMPAT', 'VECTOR_NONE'];
    expect(defined.filter((name) => !known.has(name))).toEqual(ownOnly);
  });

  it('puts the blocks where the header does', () => {
    expect(area.blockOffset(0)).toBe(0x10000);
    expect(area.blockOffset(3)).toBe(0x40000);
    expect(area.BLOCK_VCPU_AREA + area.vcpu_area.size).toBeLessThan(area.BLOCK_STACK_TOP - 4096);
  });
});
