/**
 * A domain in a file:
 *
 *     0            struct save_header; zeros until everything else is on the disk
 *     4096         state: JSON, `state_bytes` long
 *     then         sums: one u32 for each CHUNK_BYTES of memory (GuestMemory.writePagesTo)
 *     memory_at    guest memory, Xen's frames included, at the next multiple of 4096: `memory_bytes`, the file's end.
 *                  Pages of zeros are holes.
 *
 * The header is written last, and the file gets its name after that: a half-written one has no magic, and no name. The header
 * has a sum of state and sums, and one of itself, so that restoring need not read the memory; `verifyMemory` does.
 * Little-endian. The state is what src/xenner/save/machine.ts writes and reads.
 */
import { newSha256 } from '../../base/crypto.js';
import { array, bytes, cstruct, pad, u8, u32, u64 } from '../../base/layout.js';
import type { Json } from './saved.js';

/** To be raised with any change of the format or of the state's meaning. */
export const SAVE_VERSION = 2;
/**
 * To be raised with any change of what lies in a guest's memory for the monitor and the hypervisor: native/monitor/vcpu_area.h,
 * src/xenner/monitor/frames.ts. A guest runs on with the monitor that it was saved with.
 */
export const LAYOUT_VERSION = 4;

export const PAGE = 4096;
export const CHUNK_BYTES = 2 ** 20;
/** State of 16 vCPUs and 16 GiB takes less than half of it. */
export const MAX_STATE_BYTES = 4 * 2 ** 20;

const MAGIC = [...Buffer.from('xenner saved\0\r\n\x1a', 'latin1')];
export const MAGIC_BYTES = MAGIC.length;

const save_header = cstruct('struct save_header', 'save-file.ts', 136, {
  magic: array(u8, 16),
  version: u32,
  layout: u32,
  state_bytes: u64,
  sums_bytes: u64,
  memory_at: u64,
  memory_bytes: u64,
  /** SHA-256 of state and sums. */
  state_sum: bytes(32),
  /** SHA-256 of what comes before. */
  header_sum: bytes(32),
  reserved: pad(16),
});
const HEADER_SUM = save_header.offsetof('header_sum');

/** Where things are. */
export interface SaveLayout {
  readonly stateBytes: number;
  readonly sumsBytes: number;
  readonly memoryAt: number;
  readonly memoryBytes: number;
}

export interface SaveHeader extends SaveLayout {
  readonly version: number;
  readonly layout: number;
  readonly stateSum: Uint8Array;
}

/** What a saved domain starts from on its vCPU thread. */
export interface SavedMachine {
  readonly fd: number;
  readonly memoryOffset: number;
  readonly state: Json;
}

export function layoutSave(stateBytes: number, memoryBytes: number): SaveLayout {
  const sumsBytes = Math.ceil(memoryBytes / CHUNK_BYTES) * 4;
  const memoryAt = Math.ceil((PAGE + stateBytes + sumsBytes) / PAGE) * PAGE;
  return { stateBytes, sumsBytes, memoryAt, memoryBytes };
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = newSha256();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export function encodeHeader(layout: SaveLayout, stateSum: Uint8Array): Uint8Array {
  const header = save_header.create({
    magic: MAGIC,
    version: SAVE_VERSION,
    layout: LAYOUT_VERSION,
    state_bytes: BigInt(layout.stateBytes),
    sums_bytes: BigInt(layout.sumsBytes),
    memory_at: BigInt(layout.memoryAt),
    memory_bytes: BigInt(layout.memoryBytes),
    state_sum: stateSum,
  });
  save_header.encode({ header_sum: sha256(header.subarray(0, HEADER_SUM)) }, header);
  return header;
}

export const isMagic = (first: ArrayLike<number>) => MAGIC.every((byte, i) => first[i] === byte);

/** Undefined: not a header, or a damaged one. */
export function decodeHeader(page: Uint8Array): SaveHeader | undefined {
  const header = save_header.decode(page);
  if (!isMagic(header.magic)) return undefined;
  if (Buffer.compare(header.header_sum, sha256(page.subarray(0, HEADER_SUM))) !== 0) return undefined;
  return {
    version: header.version,
    layout: header.layout,
    stateBytes: Number(header.state_bytes),
    sumsBytes: Number(header.sums_bytes),
    memoryAt: Number(header.memory_at),
    memoryBytes: Number(header.memory_bytes),
    stateSum: header.state_sum,
  };
}
