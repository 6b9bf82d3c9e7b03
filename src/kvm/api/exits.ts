/** Why a vCPU came back to user space, as one type that `switch (exit.exit_reason)` takes apart. */
import type { CStruct, Encodable } from '../../base/layout.js';
import { KVM_EXITS } from '../uapi/exits.js';

type Table = typeof KVM_EXITS;
export type KvmExitReason = keyof Table;
type FieldsOf<N extends KvmExitReason> = Table[N]['fields'] extends CStruct<infer T> ? T : never;

/** Port I/O. */
export interface KvmIoExit {
  exit_reason: 'KVM_EXIT_IO';
  direction: 'in' | 'out';
  /** Bytes of one access: 1, 2 or 4. */
  size: number;
  port: number;
  /** Accesses; more than 1 for a string instruction. */
  count: number;
  /** size * count bytes in the vCPU's page: what the guest wrote, or where its `in` finds the answer at the next run. */
  data: Uint8Array;
}

/** An access to guest-physical memory that no slot covers, or a write to a read-only one. */
export interface KvmMmioExit {
  exit_reason: 'KVM_EXIT_MMIO';
  phys_addr: bigint;
  is_write: boolean;
  /** 1 to 8 bytes in the vCPU's page: what the guest wrote, or where its read finds the answer at the next run. */
  data: Uint8Array;
}

/** A reason that this version has no name for. */
export interface KvmUnnamedExit {
  exit_reason: 'unnamed';
  number: number;
}

/** `exit_reason` and the members of struct kvm_run that belong to it, under their names in C. */
export type KvmExit =
  | KvmIoExit
  | KvmMmioExit
  | KvmUnnamedExit
  | {
      [N in Exclude<KvmExitReason, 'KVM_EXIT_IO' | 'KVM_EXIT_MMIO'>]: { exit_reason: N } & FieldsOf<N>;
    }[Exclude<KvmExitReason, 'KVM_EXIT_IO' | 'KVM_EXIT_MMIO'>];

/** The exit of one reason: `KvmExitOf<'KVM_EXIT_X86_RDMSR'>`. */
export type KvmExitOf<N extends KvmExit['exit_reason']> = Extract<KvmExit, { exit_reason: N }>;

/** Offset of kvm_run's union, which follows what all exits share. */
export const EXIT_OFFSET = 32;

const IO = offsets('KVM_EXIT_IO');
const MMIO = offsets('KVM_EXIT_MMIO');

function offsets(reason: KvmExitReason): (member: string) => number {
  const layout = KVM_EXITS[reason].fields as CStruct<object>;
  return (member) => EXIT_OFFSET + layout.offsetof(member);
}

const AT = {
  direction: IO('direction'),
  size: IO('size'),
  port: IO('port'),
  count: IO('count'),
  dataOffset: IO('data_offset'),
  physAddr: MMIO('phys_addr'),
  mmioData: MMIO('data'),
  len: MMIO('len'),
  isWrite: MMIO('is_write'),
};

const byNumber = new Map<number, KvmExitReason>(
  Object.entries(KVM_EXITS).map(([name, { number }]) => [number, name as KvmExitReason]),
);

function ioExit(page: Uint8Array, view: DataView): KvmIoExit {
  const size = view.getUint8(AT.size);
  const count = view.getUint32(AT.count, true);
  const at = Number(view.getBigUint64(AT.dataOffset, true));
  return {
    exit_reason: 'KVM_EXIT_IO',
    direction: view.getUint8(AT.direction) === 0 ? 'in' : 'out',
    size,
    port: view.getUint16(AT.port, true),
    count,
    data: page.subarray(at, at + size * count),
  };
}

function mmioExit(page: Uint8Array, view: DataView): KvmMmioExit {
  return {
    exit_reason: 'KVM_EXIT_MMIO',
    phys_addr: view.getBigUint64(AT.physAddr, true),
    is_write: view.getUint8(AT.isWrite) !== 0,
    data: page.subarray(AT.mmioData, AT.mmioData + Math.min(8, view.getUint32(AT.len, true))),
  };
}

/** The exit that a vCPU's page holds. `view` is of the same bytes. */
export function decodeExit(page: Uint8Array, view: DataView, number: number): KvmExit {
  const reason = byNumber.get(number);
  if (reason === 'KVM_EXIT_IO') return ioExit(page, view);
  if (reason === 'KVM_EXIT_MMIO') return mmioExit(page, view);
  if (reason === undefined) return { exit_reason: 'unnamed', number };
  const layout = KVM_EXITS[reason].fields as CStruct<object>;
  return { exit_reason: reason, ...layout.decode(page, EXIT_OFFSET) } as KvmExit;
}

/** What an exit's members may be answered with: those that the kernel reads at the next run. */
export type KvmAnswer<N extends KvmExitReason> = Encodable<FieldsOf<N>>;

/** Writes members of an exit back to the page. */
export function encodeAnswer<N extends KvmExitReason>(
  page: Uint8Array,
  reason: N,
  answer: KvmAnswer<N>,
): void {
  const layout = KVM_EXITS[reason].fields as CStruct<object>;
  layout.encode(answer, page, EXIT_OFFSET);
}
