/** The two layouts of a block device's ring, and what a request says, read from a private copy of its slot. */
import type { CStruct } from '../../../base/layout.js';
import * as native from '../../abi/blkif.js';
import * as i386 from '../../abi/blkif-x86-32.js';

/** XEN_IO_PROTO_ABI_* (public/io/protocols.h). */
export type ProtocolName = 'x86_64-abi' | 'x86_32-abi';

interface Layouts {
  readonly sring: CStruct<object>;
  readonly request: CStruct<object>;
  readonly discard: CStruct<object>;
  readonly indirect: CStruct<object>;
}

export interface Segment {
  readonly gref: number;
  /** Sectors within the frame, both inclusive, not checked. */
  readonly first: number;
  readonly last: number;
}

const SEGMENT_WORDS = native.blkif_request_segment.size / 4;

/** `count` segments from the words of a request or of an indirect page. */
export function segmentsAt(words: Uint32Array, start: number, count: number): Segment[] {
  const segments: Segment[] = [];
  for (let at = start; at < start + count * SEGMENT_WORDS; at += SEGMENT_WORDS) {
    const sectors = words[at + 1]!;
    segments.push({ gref: words[at]!, first: sectors & 0xff, last: (sectors >>> 8) & 0xff });
  }
  return segments;
}

/** One of the layouts. Members of a request are read by name from `words`, which the caller fills slot by slot. */
export class Protocol {
  readonly sring: CStruct<object>;
  /** One slot. */
  readonly words: Uint32Array;
  readonly #id: number;
  readonly #sector: number;
  readonly #segments: number;
  readonly #nrSectors: number;
  readonly #indirectGrefs: number;

  constructor({ sring, request, discard, indirect }: Layouts) {
    this.sring = sring;
    this.words = new Uint32Array(request.size / 4);
    this.#id = request.offsetof('id') / 4;
    this.#sector = request.offsetof('sector_number') / 4;
    this.#segments = request.offsetof('seg') / 4;
    this.#nrSectors = discard.offsetof('nr_sectors') / 4;
    this.#indirectGrefs = indirect.offsetof('indirect_grefs') / 4;
  }

  get operation(): number {
    return this.words[0]! & 0xff;
  }
  get idLow(): number {
    return this.words[this.#id]!;
  }
  get idHigh(): number {
    return this.words[this.#id + 1]!;
  }
  get sectorNumber(): number {
    return this.#u64(this.#sector);
  }

  /** Of a request with its segments in the slot. */
  get nrSegments(): number {
    return (this.words[0]! >>> 8) & 0xff;
  }
  /** `count` at most BLKIF_MAX_SEGMENTS_PER_REQUEST. */
  segments(count: number): Segment[] {
    return segmentsAt(this.words, this.#segments, count);
  }

  get nrSectors(): number {
    return this.#u64(this.#nrSectors);
  }

  get indirectOp(): number {
    return (this.words[0]! >>> 8) & 0xff;
  }
  get nrIndirectSegments(): number {
    return this.words[0]! >>> 16;
  }
  /** The first of indirect_grefs: a page has room for 512 segments, more than are offered. */
  get indirectGref(): number {
    return this.words[this.#indirectGrefs]!;
  }

  /** Exact up to 2^53 - 1, NaN above: no sector. */
  #u64(at: number): number {
    const high = this.words[at + 1]!;
    return high < 2 ** 21 ? high * 2 ** 32 + this.words[at]! : Number.NaN;
  }
}

const LAYOUTS: Record<ProtocolName, Layouts> = {
  'x86_64-abi': {
    sring: native.blkif_sring,
    request: native.blkif_request,
    discard: native.blkif_request_discard,
    indirect: native.blkif_request_indirect,
  },
  'x86_32-abi': {
    sring: i386.blkif_x86_32_sring,
    request: i386.blkif_x86_32_request,
    discard: i386.blkif_x86_32_request_discard,
    indirect: i386.blkif_x86_32_request_indirect,
  },
};

export const PROTOCOLS = Object.keys(LAYOUTS) as ProtocolName[];

export function protocolOf(name: ProtocolName): Protocol {
  return new Protocol(LAYOUTS[name]);
}
