/** The native addon's own types. Only this folder loads it; each class owns one descriptor or mapping. */
import { createRequire } from 'node:module';
import { XennerError } from '../base/errors.js';
import { builtFile } from '../base/paths.js';
import type { KvmAddon } from './api/native.js';

/** RAM of one guest: mapped once per process while an open object or a vCPU uses it, in any thread that attaches to its `id`. */
export interface NativeGuestMemory {
  readonly id: number;
  /** Size in bytes; a multiple of 4096. */
  readonly bytes: number;
  /** A view of [offset, offset + length), at most 1 GiB. Empty once this object is closed. */
  view(offset: number, length: number): ArrayBuffer;
  /** The file that it came from was truncated, or cannot be read: what could not be had are zeros. */
  readonly isDamaged: boolean;
  /**
   * Writes the pages of [offset, offset + length) that are not all zeros to a file, in which that piece begins at `position`;
   * the others are left alone. Returns their sum.
   */
  writePagesTo(fd: number, position: number, offset: number, length: number): number;
  /** Whole pages become zeros, and the host's again where it takes them. */
  discard(offset: number, length: number): void;
  /** Into memory that is all zeros; pages of zeros are left alone. How many bytes the file had, at most `length`. */
  readPagesFrom(fd: number, position: number, offset: number, length: number): number;
  copyPagesFrom(bytes: Uint8Array, offset: number): void;
  /** 64-bit words from `offset` on: `first`, `first + step`, ... */
  fillEntries(offset: number, count: number, first: bigint, step: bigint): void;
  close(): void;
}

/** Why `NativeSoftVcpu.run` came back. Same numbers as `enum vcpu_exit` in native/vcpu_exit.h. */
export const NATIVE_EXIT = { PORT: 1, KICK: 2, HLT: 3, SHUTDOWN: 4, ERROR: 5, YIELD: 6 } as const;

/** One soft CPU. Every method but kick() belongs to the thread that created it. */
export interface NativeSoftVcpu {
  readonly id: number;
  /**
   * Runs until a write to the exit port, a kick, hlt, a triple fault or an emulator error. A kick that arrives while the
   * CPU is not running makes the next run() return KICK at once: it is never lost. Returns a NATIVE_EXIT number.
   */
  run(): number;
  /** Emulator's text for the last ERROR. */
  readonly lastError: string;
  /** Raises an external interrupt; it stays pending until the guest's IF is 1. */
  inject(vector: number): void;
  /** Sleeps until a kick or for timeoutNs (Infinity: for ever). Returns true if kicked; consumes the kick. */
  wait(timeoutNs: number): boolean;
  /** Kicks this vCPU once when CLOCK_MONOTONIC reaches deadlineNs (0 disarms). One deadline at a time. */
  setTimer(deadlineNs: number): void;
  /**
   * Begins a slice of so many ns, for the CPU and its siblings: run() returns YIELD, once, when it is over or the CPU executes
   * `pause`, and is not in ring 0. 0: no slice.
   */
  setSlice(ns: number): void;
  /** Whole architectural state, in the order of cpu-state.ts. */
  getState(): BigUint64Array;
  setState(state: BigUint64Array): void;
  /** FPU and SSE registers: see Vcpu.getFpu. */
  getFpu(): Uint8Array;
  setFpu(state: Uint8Array): void;
  /** CPUID answers: 6 words an entry: function, index (0xffffffff: any), eax, ebx, ecx, edx. Absent: zeros. */
  setCpuid(entries: Uint32Array): void;
  /** A debugger's, by linear address; at most 1024. They raise #DB outside of ring 0, with bit 12 of DR6 set. */
  setBreakpoints(addresses: BigUint64Array): void;
  /** Drops translated code of a guest-physical range, after the host wrote to it. */
  invalidate(gpa: number, length: number): void;
  close(): void;
}

/** Wakes the thread that created it (a libuv loop) from any thread. */
export interface NativeNotifier {
  readonly id: number;
  hold(held: boolean): void;
  close(): void;
}

/** Requests of one thread. `id` is whatever the caller wants back; none of these waits. */
export interface NativeFileIo {
  transfer(id: number, write: number, fd: number, position: number, buffers: readonly Uint8Array[]): void;
  /** fdatasync; or fallocate */
  call(id: number, fd: number): void;
  call(id: number, fd: number, mode: number, offset: number, length: number): void;
  /** Begins what was asked for. Puts pairs of id and result (bytes, or -errno) of what has ended into `results`; how many. */
  flush(): number;
  /** The same, after the notifier; and again while all places are taken. */
  reap(): number;
  /** Waits for what the kernel is doing. Idempotent. */
  close(): void;
}

/** See netlink.h. */
export interface NativeNetlinkEvents {
  /** The messages of one datagram, null if there is none now. Throws ENOBUFS where some were lost. */
  receive(): Buffer | null;
  close(): void;
}

/** A tap, or a macvtap: see net_tap.h. */
export interface NativeNetTap {
  /** The interface's. */
  readonly name: string;
  /** TUN_F_* of linux/if_tun.h: what receive() may bring unfinished. */
  setOffload(flags: number): void;
  /** Does nothing to a macvtap. */
  setCarrier(isUp: boolean): void;
  /**
   * Packets, struct virtio_net_hdr first, one behind the other at multiples of 8, and their lengths; as many as there are, fit, and
   * have room for a packet of the largest size. Returns how many.
   */
  receive(into: Uint8Array, lengths: Uint32Array): number;
  /** One packet, struct virtio_net_hdr first, of at most 64 pieces. False: there is no room just now. */
  send(pieces: readonly Uint8Array[]): boolean;
  /** Signals the notifier once when one of these has come: 1 packets, 2 room. */
  watch(events: number): void;
  close(): void;
}

export interface NativeKvmProbe {
  usable: boolean;
  /** One clause, lower case, for people: "no /dev/kvm", "ring-0 code runs at 4 MIPS: interpreted". */
  reason: string;
  /** Million guest instructions a second of ring-0 code; 0 when nothing ran. */
  mips: number;
}

export interface Addon extends KvmAddon {
  GuestMemory: {
    new (bytes: number): NativeGuestMemory;
    /** pageShift 12, 21 or 30 (hugetlb); transparent, mergeable 0 or 1; nodePlus1: a NUMA node + 1, or 0 for any. */
    new (
      bytes: number,
      pageShift: number,
      transparent: number,
      mergeable: number,
      nodePlus1: number,
    ): NativeGuestMemory;
    /** Another thread's handle on the same memory. Throws ENOENT for an unknown or closed id. */
    attach(id: number): NativeGuestMemory;
    /** Pages come from the file when they are first touched; what is written stays here. The descriptor is duplicated. */
    fromFile(fd: number, offset: number, bytes: number): NativeGuestMemory;
    /** Of whole pages: what writePagesTo() returned for the same ones. */
    sum(bytes: Uint8Array): number;
  };
  /** Absent when the addon was built without the soft CPU. */
  SoftVcpu?: {
    /**
     * With a sibling: a further CPU of its machine, with its id, its memory, its marks and its thread. They share kicks and the
     * timer.
     * @param codeMarks see Machine.codeMarks
     */
    new (
      memory: NativeGuestMemory,
      exitPort: number,
      codeMarks: Uint8Array,
      sibling?: NativeSoftVcpu,
    ): NativeSoftVcpu;
  };
  /** Kicks a vCPU by id from any thread. Unknown ids are ignored (the vCPU is gone). */
  kickVcpu(id: number): void;
  /** threads 0: io_uring */
  FileIo: { new (threads: number, notifier: number, results: Float64Array): NativeFileIo };
  /** Takes O_NONBLOCK off an open file. */
  clearNonblock(fd: number): void;
  Notifier: { new (callback: () => void): NativeNotifier };
  /** Of /dev/net/tun and a name, `%d` in which the kernel fills in; or of a macvtap's device and whatever name. */
  NetTap: { new (path: string, name: string, notifier: number): NativeNetTap };
  /** RTMGRP_* groups of rtnetlink. */
  NetlinkEvents: { new (groups: number, notifier: number): NativeNetlinkEvents };
  /**
   * A request of rtnetlink with NLM_F_ACK or NLM_F_DUMP, and all messages of its answer, the last of which is NLMSG_ERROR or
   * NLMSG_DONE. Throws an errno with `what`; E2BIG: there are more than maxBytes.
   */
  netlinkRequest(message: Uint8Array, maxBytes: number, what: string): Buffer;
  /** Of a network interface; 0: there is none. */
  linkIndex(name: string): number;
  /** Descriptors of the two ends of a stream, each with room for so many bytes that are not read, or as many as the host allows. */
  socketPair(bytes: number): [number, number];
  /** Wakes a notifier from any thread; several signals may become one call. Unknown ids are ignored. */
  notify(id: number): void;
  /** Host clocks read back to back: TSC ticks, CLOCK_MONOTONIC ns, CLOCK_REALTIME ns. */
  clockSample(): { tsc: bigint; monotonicNs: bigint; realtimeNs: bigint };
  hostTsc(): bigint;
  probeKvm(): NativeKvmProbe;
  /**
   * One compressed stream to at most maxBytes of output, from Debian's libraries. `xz`, `lzma` (alone format), `bzip2`,
   * `zstd`, `gzip`: whole streams, trailing bytes allowed. `lz4-block`, `lzo1x`: one raw block.
   * Throws an Error with code EBADMSG (damaged, truncated) or E2BIG (would exceed maxBytes, or asks for a dictionary
   * above 128 MiB or so).
   */
  decompress(format: DecompressFormat, data: Uint8Array, maxBytes: number): Buffer;
  /** The same on another thread; `data` must stay as it is meanwhile. */
  decompressElsewhere(format: DecompressFormat, data: Uint8Array, maxBytes: number): Promise<Buffer>;
  /** See src/kvm/compress.ts. */
  compressPieces(
    format: CompressFormat,
    data: Uint8Array,
    pieceBytes: number,
    into: Uint8Array,
    sizes: Uint32Array,
  ): Promise<void>;
  /** Takes a shared lock of the open file description at once. False: somebody has an exclusive one. */
  shareRange(fd: number, offset: number, length: number): boolean;
  /** Somebody else's description has a lock of any kind there. */
  isRangeShared(fd: number, offset: number, length: number): boolean;
  /** On libuv's threads. `data` and `hole` answer with an offset, 2^63 for none; `size` with the end; the others with 0. */
  fileRange(call: FileRangeCall, fd: number, offset: number, length: number): Promise<number>;
  /**
   * On libuv's threads: start and end of each range before `end` that may be other than zeros, as many as `ranges` takes. Answers how
   * many numbers that are.
   */
  dataRanges(fd: number, offset: number, end: number, ranges: Float64Array): Promise<number>;
  /** Zeros that begin at a page: what O_DIRECT takes. At most 64 MiB. */
  alignedMemory(bytes: number): ArrayBuffer;
}

export type FileRangeCall = 'punch' | 'zero' | 'data' | 'hole' | 'size';

export type CompressFormat = 'deflate' | 'zstd';

export type DecompressFormat = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lz4-block' | 'lzo1x' | 'zstd';

let loaded: Addon | undefined;

/** Loads build/Release/xenner.node, once per thread. */
export function loadAddon(): Addon {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)(builtFile('xenner.node')) as Addon;
  } catch (cause) {
    throw new XennerError('ENO_ADDON', 'the native addon does not load', 'run `npm run build`', { cause });
  }
  return loaded;
}
