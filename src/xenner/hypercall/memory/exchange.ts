/** memory_exchange (xen/common/memory.c): frames for others that lie together, or lower. */
import { EFAULT, EINVAL, ENOMEM, EPERM } from '../../abi/errno.js';
import * as abi from '../../abi/memory.js';
import type { Vcpu } from '../../domain/vcpu.js';
import { addressOk } from '../../mm/guest-list.js';
import { checkTarget } from './domain-of.js';
import { addressEnd, discardFrames, MAX_ORDER, setM2p, XEN_PFN_BYTES } from './frames.js';

type Exchange = ReturnType<typeof abi.xen_memory_exchange.decode>;

const NR_EXCHANGED = BigInt(abi.xen_memory_exchange.offsetof('nr_exchanged'));

/** A chunk is the smallest number of frames that is whole extents on both sides. */
interface Chunk {
  readonly inCount: number;
  readonly inOrder: number;
  readonly outCount: number;
  readonly outOrder: number;
  readonly end: number;
}

function check(vcpu: Vcpu, { in: given, out, nr_exchanged: done }: Exchange): number {
  if (Math.max(given.extent_order, out.extent_order) > MAX_ORDER) return -EPERM;
  const frames = given.nr_extents << BigInt(given.extent_order);
  if (done > given.nr_extents || given.domid !== out.domid) return -EINVAL;
  if (frames !== out.nr_extents << BigInt(out.extent_order) || frames >> 64n !== 0n) return -EINVAL;
  if (!addressOk(given.extent_start) || !addressOk(out.extent_start)) return -EFAULT;
  if (addressEnd(out.mem_flags) === undefined) return -EINVAL;
  const error = checkTarget(vcpu.domain, given.domid);
  if (error !== 0) return error;
  // More than it has: it would fail on the way, but not before it had gone over each frame again and again.
  return frames > vcpu.domain.nrPages ? -ENOMEM : 0;
}

function extent(vcpu: Vcpu, list: bigint, index: number): bigint | undefined {
  return vcpu.guest.readU64(list + BigInt(index * XEN_PFN_BYTES));
}

/** steal_page for each frame of a chunk, into `stolen`: nothing may refer to it. */
function steal(vcpu: Vcpu, list: bigint, index: number, chunk: Chunk, stolen: number[]): number {
  const { freeFrames } = vcpu.domain;
  for (let i = 0; i < chunk.inCount; i++) {
    const first = extent(vcpu, list, index * chunk.inCount + i);
    if (first === undefined) return -EFAULT;
    for (let j = 0; j < 2 ** chunk.inOrder; j++) {
      const mfn = Number(first) + j;
      if (!freeFrames.isUnused(mfn) || !freeFrames.give(mfn)) return -EINVAL;
      stolen.push(mfn);
    }
  }
  return 0;
}

/** Frames for the other side, into `taken`. */
function allocate(vcpu: Vcpu, chunk: Chunk, taken: number[]): number {
  for (let i = 0; i < chunk.outCount; i++) {
    const mfn = vcpu.domain.freeFrames.take(chunk.outOrder, 0, chunk.end);
    if (mfn < 0) return -ENOMEM;
    taken.push(mfn);
  }
  return 0;
}

/** Beyond this point a chunk cannot fail: the guest has the frames even if it cannot be told. */
function assign(vcpu: Vcpu, list: bigint, index: number, chunk: Chunk, taken: readonly number[]): number {
  let error = 0;
  taken.forEach((mfn, i) => {
    const at = list + BigInt((index * chunk.outCount + i) * XEN_PFN_BYTES);
    const gpfn = vcpu.guest.readU64(at);
    if (gpfn === undefined) {
      error = -EFAULT;
      return;
    }
    setM2p(vcpu.domain, mfn, 2 ** chunk.outOrder, gpfn);
    if (!vcpu.guest.writeU64(at, BigInt(mfn))) error = -EFAULT;
  });
  return error;
}

function exchangeChunk(vcpu: Vcpu, op: Exchange, index: number, chunk: Chunk): number {
  const { domain } = vcpu;
  const stolen: number[] = [];
  const taken: number[] = [];
  const error = steal(vcpu, op.in.extent_start, index, chunk, stolen) || allocate(vcpu, chunk, taken);
  if (error !== 0) {
    for (const mfn of taken) for (let i = 0; i < 2 ** chunk.outOrder; i++) domain.freeFrames.give(mfn + i);
    for (const mfn of stolen) domain.freeFrames.takeBack(mfn);
    return error;
  }
  const all = taken.flatMap((mfn) => Array.from({ length: 2 ** chunk.outOrder }, (_, i) => mfn + i));
  const kept = new Set(all);
  discardFrames(domain, [...stolen, ...all]);
  // Frames that went away are nobody's; those that came back get their new number below.
  for (const mfn of stolen) if (!kept.has(mfn)) setM2p(domain, mfn, 1, undefined);
  return assign(vcpu, op.out.extent_start, index, chunk, taken);
}

export function exchangeMemory(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.xen_memory_exchange, arg);
  if (op === undefined) return -EFAULT;
  let error = check(vcpu, op);
  if (error !== 0) return vcpu.guest.writeU64(arg + NR_EXCHANGED, op.nr_exchanged) ? error : -EFAULT;
  if (op.nr_exchanged === op.in.nr_extents) return 0;
  const more = Math.max(0, op.out.extent_order - op.in.extent_order);
  const fewer = Math.max(0, op.in.extent_order - op.out.extent_order);
  const chunk: Chunk = {
    inCount: 2 ** more,
    inOrder: op.in.extent_order,
    outCount: 2 ** fewer,
    outOrder: op.out.extent_order,
    end: addressEnd(op.out.mem_flags)!,
  };
  const chunks = Number(op.in.nr_extents >> BigInt(more));
  let index = Number(op.nr_exchanged >> BigInt(more));
  for (; index < chunks; index++) {
    error = exchangeChunk(vcpu, op, index, chunk);
    if (error !== 0) break;
  }
  const done = error === 0 ? op.in.nr_extents : BigInt(index * chunk.inCount);
  return vcpu.guest.writeU64(arg + NR_EXCHANGED, done) ? error : -EFAULT;
}
