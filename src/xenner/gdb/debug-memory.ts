/** Guest memory as a debugger sees it: by linear address, through the page tables in use, whatever they allow. */
import { gpa } from '../../kvm/index.js';
import type { Machine } from '../domain/machine.js';
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { PAGE } from '../monitor/frames.js';
import {
  HOLE_END,
  HOLE_START,
  PGC_xen,
  PGT_none,
  PGT_type_mask,
  PGT_writable_page,
} from '../monitor/vcpu-area.js';

const PRESENT = 1n;
const ADDRESS = 0x000ffffffffff000n;
const PAGE_OFFSET = 0xfffn;

/** Guest-physical address, or -1. Nothing is marked accessed or dirty. */
function translate(machine: Machine, vcpu: VirtualCpu, address: bigint): number {
  if (BigInt.asIntN(48, address) !== BigInt.asIntN(64, address)) return -1;
  const entryAt = vcpu.guest.l1EntryOf(address);
  if (entryAt < 0) return -1;
  const entry = machine.memory.readU64(gpa(entryAt));
  const page = Number(entry & ADDRESS);
  if ((entry & PRESENT) === 0n || !machine.memory.contains(page, PAGE)) return -1;
  return page + Number(address & PAGE_OFFSET);
}

/** Calls visit for each piece that lies in one page; ends early where that answers false. */
function pieces(
  address: bigint,
  length: number,
  visit: (address: bigint, at: number, size: number) => boolean,
): void {
  for (let at = 0; at < length; ) {
    const here = BigInt.asUintN(64, address + BigInt(at));
    const size = Math.min(length - at, PAGE - Number(here & PAGE_OFFSET));
    if (!visit(here, at, size)) return;
    at += size;
  }
}

/** As many bytes as can be read, from the first one on. */
export function readMemory(machine: Machine, vcpu: VirtualCpu, address: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  pieces(address, length, (here, at, size) => {
    const physical = translate(machine, vcpu, here);
    if (physical < 0) return false;
    bytes.set(machine.memory.bytes(gpa(physical), size), at);
    done = at + size;
    return true;
  });
  return bytes.subarray(0, done);
}

/** Where the hypervisor counts on what is in a frame, only the guest's own hypercalls change it. */
function writable(machine: Machine, physical: number): boolean {
  const info = machine.memory.readU32(gpa(machine.pageInfo + Math.floor(physical / PAGE) * 8));
  const type = info & PGT_type_mask;
  return (info & PGC_xen) === 0 && (type === PGT_none || type === PGT_writable_page);
}

/** All of it or nothing; through read-only mappings as well. */
export function writeMemory(machine: Machine, vcpu: VirtualCpu, address: bigint, bytes: Uint8Array): boolean {
  const targets: { physical: number; at: number; size: number }[] = [];
  let all = true;
  pieces(address, bytes.length, (here, at, size) => {
    const physical = here >= HOLE_START && here < HOLE_END ? -1 : translate(machine, vcpu, here);
    all = physical >= 0 && writable(machine, physical);
    if (all) targets.push({ physical, at, size });
    return all;
  });
  if (!all) return false;
  for (const { physical, at, size } of targets) {
    machine.memory.copyIn(gpa(physical), bytes.subarray(at, at + size));
    machine.codeWritten(gpa(physical), size);
  }
  return true;
}
