/** xen/include/public/io/blkif.h as an i386 compiler lays it out, where 64-bit integers are aligned to 4 bytes. */
import { array, cstruct, pad, s16, u8, u16, u32, u64 } from '../../base/layout.js';
import {
  BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST,
  BLKIF_MAX_SEGMENTS_PER_REQUEST,
  blkif_request_segment,
} from './blkif.js';
import { sring } from './ring.js';

const HEADER = 'io/blkif.h';
const i386 = { packed: true };

export const blkif_x86_32_request = cstruct(
  'struct blkif_request',
  HEADER,
  108,
  {
    operation: u8,
    nr_segments: u8,
    handle: u16,
    id: u64,
    sector_number: u64,
    seg: array(blkif_request_segment, BLKIF_MAX_SEGMENTS_PER_REQUEST),
  },
  i386,
);

export const blkif_x86_32_request_discard = cstruct(
  'struct blkif_request_discard',
  HEADER,
  28,
  { operation: u8, flag: u8, handle: u16, id: u64, sector_number: u64, nr_sectors: u64 },
  i386,
);

export const blkif_x86_32_request_indirect = cstruct(
  'struct blkif_request_indirect',
  HEADER,
  64,
  {
    operation: u8,
    indirect_op: u8,
    nr_segments: u16,
    id: u64,
    sector_number: u64,
    handle: u16,
    _pad: pad(2),
    indirect_grefs: array(u32, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST),
    pad: u64,
  },
  i386,
);

export const blkif_x86_32_response = cstruct(
  'struct blkif_response',
  HEADER,
  12,
  { id: u64, operation: u8, _pad: pad(1), status: s16 },
  i386,
);

export const blkif_x86_32_sring = sring('blkif', HEADER, blkif_x86_32_request, blkif_x86_32_response);
