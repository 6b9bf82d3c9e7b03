/** What our ABI modules claim, as `C expression -> value`, and a C program that prints what the headers say. */
import { readdirSync } from 'node:fs';
import { CStruct, type Field } from '../../src/base/layout.js';

const ABI = new URL('../../src/xenner/abi/', import.meta.url);

export type Facts = Record<string, string>;

/** Layouts of an i386 compiler, under the same names in C. */
export type Width = 64 | 32;
const widthOf = (file: string): Width => (file.endsWith('-x86-32.ts') ? 32 : 64);

/** Every number, bigint and layout that any module below src/xenner/abi exports. */
export async function claimedFacts(width: Width = 64): Promise<Facts> {
  const facts: Facts = {};
  for (const file of readdirSync(ABI)
    .filter((name) => widthOf(name) === width)
    .sort()) {
    const module: Record<string, unknown> = await import(new URL(file, ABI).href);
    for (const [name, value] of Object.entries(module)) {
      if (value instanceof CStruct) addLayout(facts, value);
      else if (typeof value === 'number' || typeof value === 'bigint')
        facts[constantName(file, name)] = `${value}`;
      // A layout for a macro of C's that makes types: those that it makes are checked where they are exported.
      else if (typeof value !== 'function')
        throw new TypeError(`${file} exports ${name}, which no header can confirm`);
    }
  }
  return facts;
}

/** Guests see errno.h with a prefix: XEN_ERRNO(EPERM, 1) makes XEN_EPERM. */
function constantName(file: string, name: string): string {
  return file === 'errno.ts' ? `XEN_${name}` : name;
}

export function addLayout(facts: Facts, layout: CStruct<object>): void {
  facts[`sizeof(${layout.ctype})`] = `${layout.size}`;
  addMembers(facts, layout.ctype, layout, '', 0);
}

function addMembers(facts: Facts, ctype: string, parent: Field<unknown>, prefix: string, base: number): void {
  for (const [name, { offset, field }] of Object.entries(parent.members ?? {})) {
    addMember(facts, ctype, field, `${prefix}${name}`, base + offset);
  }
}

function addMember(facts: Facts, ctype: string, field: Field<unknown>, path: string, offset: number): void {
  facts[`offsetof(${ctype}, ${path})`] = `${offset}`;
  facts[`sizeof(((${ctype} *)0)->${path})`] = `${field.size}`;
  addMembers(facts, ctype, field, `${path}.`, offset);
  if (field.element !== undefined) {
    const last = field.size / field.element.size - 1;
    addMember(facts, ctype, field.element, `${path}[${last}]`, offset + last * field.element.size);
  }
}

const HEADERS = [
  'xen.h',
  'arch-x86/cpuid.h',
  'callback.h',
  'elfnote.h',
  'errno.h',
  'event_channel.h',
  'features.h',
  'grant_table.h',
  'io/blkif.h',
  'io/console.h',
  'io/netif.h',
  'io/xenbus.h',
  'io/xs_wire.h',
  'memory.h',
  'nmi.h',
  'physdev.h',
  'sched.h',
  'vcpu.h',
  'version.h',
];

/** __XEN_TOOLS__ selects the latest interface version and is what xenctrl.h, the home of e820entry, needs. */
const XEN_HEADERS = `#define __XEN_TOOLS__ 1
${HEADERS.map((header) => `#include <xen/${header}>`).join('\n')}
#include <xenctrl.h>
`;

/** Before the headers: Xen's want stdint.h's types. */
const PRINT = `#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#define SHOW(name, value) \\
  ((value) < 0 ? printf("%s\\t%lld\\n", name, (long long)(value)) \\
               : printf("%s\\t%llu\\n", name, (unsigned long long)(value)))
`;

/** @param headers what the facts are about; default: Xen's public headers */
export function cProgram(facts: Facts, headers = XEN_HEADERS): string {
  const lines = Object.keys(facts).map((name) => `  SHOW("${name}", ${name});`);
  return `${PRINT}${headers}int main(void) {\n${lines.join('\n')}\n  return 0;\n}\n`;
}

/**
 * The same in 32 bits, for a compiler that has neither libraries nor headers for them: it says the values in the assembly, which is
 * not for assembling.
 */
export function assemblyProgram(facts: Facts): string {
  const lines = Object.keys(facts).map(
    (name) => `  __asm__ volatile("FACT ${name}\\t%c0" : : "i"(${name}));`,
  );
  return `#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/io/blkif.h>
void facts(void) {\n${lines.join('\n')}\n}\n`;
}

export function parseAssembly(text: string): Facts {
  return parseOutput([...text.matchAll(/^\s*FACT (.*)$/gm)].map(([, fact]) => fact).join('\n'));
}

export function parseOutput(text: string): Facts {
  return Object.fromEntries(
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t') as [string, string]),
  );
}
