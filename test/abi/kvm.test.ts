/**
 * Every structure and constant of src/kvm/uapi against linux/kvm.h, which is there wherever a C compiler is, by a C program
 * that is generated from what the modules export.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CStruct } from '../../src/base/layout.js';
import { EXIT_OFFSET } from '../../src/kvm/api/exits.js';
import { KVM_EXITS } from '../../src/kvm/uapi/exits.js';
import { askCompiler } from './compiler.js';
import { addLayout, cProgram, type Facts } from './facts.js';

const UAPI = new URL('../../src/kvm/uapi/', import.meta.url);
const HEADER = '/usr/include/linux/kvm.h';
/** Later than the oldest headers that this is tested with; left out where the header has not got them. */
const NEWER = ['KVM_CAP_MEMORY_FAULT_INFO', 'KVM_EXIT_MEMORY_FAULT'];

function missing(): string | undefined {
  if (!existsSync(HEADER)) return 'linux-libc-dev is not installed';
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'gcc is not installed';
  }
  return undefined;
}

async function layoutsAndConstants(): Promise<Facts> {
  const facts: Facts = {};
  for (const file of readdirSync(UAPI).sort()) {
    const module: Record<string, unknown> = await import(new URL(file, UAPI).href);
    for (const [name, value] of Object.entries(module)) {
      if (value instanceof CStruct) addLayout(facts, value);
      else if (typeof value === 'number') facts[name] = `${value}`;
      else if (name !== 'KVM_EXITS') throw new TypeError(`${file} exports ${name}, which no header confirms`);
    }
  }
  return facts;
}

/** Members of kvm_run's union, by their exit reasons. */
function exits(): Facts {
  const facts: Facts = {};
  for (const [name, { number, member, fields }] of Object.entries(KVM_EXITS)) {
    facts[name] = `${number}`;
    const layout = fields as CStruct<object>;
    const add = (path: string) => {
      facts[`offsetof(struct kvm_run, ${member}.${path})`] = `${EXIT_OFFSET + layout.offsetof(path)}`;
    };
    for (const [field, { field: shape }] of Object.entries(layout.members)) {
      add(field);
      for (const inner of Object.keys(shape.members ?? {})) add(`${field}.${inner}`);
    }
  }
  return facts;
}

const reason = missing();

describe("Linux's kvm.h", () => {
  it.skipIf(reason !== undefined)(
    `says what src/kvm/uapi says${reason ? ` (skipped: ${reason})` : ''}`,
    async () => {
      const header = readFileSync(HEADER, 'utf8');
      const newer = NEWER.filter((name) => !header.includes(name));
      const left = newer.includes('KVM_EXIT_MEMORY_FAULT') ? [...newer, 'memory_fault.'] : newer;
      const claimed = Object.fromEntries(
        Object.entries({ ...(await layoutsAndConstants()), ...exits() }).filter(
          ([name]) => !left.some((part) => name.includes(part)),
        ),
      );
      expect(Object.keys(claimed).length).toBeGreaterThan(500);
      expect(claimed['offsetof(struct kvm_run, xen.u.hcall)']).toBe('40');
      expect(claimed).toEqual(askCompiler(cProgram(claimed, '#include <linux/kvm.h>\n')));
    },
  );
});
