/** xen/include/public/io/blkif.h: a block device's ring, as 64-bit front ends have it. */
import { array, cstruct, pad, s16, u8, u16, u32, u64 } from '../../base/layout.js';
import { sring } from './ring.js';

const HEADER = 'io/blkif.h';

export const BLKIF_OP_READ = 0;
export const BLKIF_OP_WRITE = 1;
export const BLKIF_OP_WRITE_BARRIER = 2;
export const BLKIF_OP_FLUSH_DISKCACHE = 3;
export const BLKIF_OP_RESERVED_1 = 4;
export const BLKIF_OP_DISCARD = 5;
export const BLKIF_OP_INDIRECT = 6;

export const BLKIF_MAX_SEGMENTS_PER_REQUEST = 11;
export const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8;
export const BLKIF_DISCARD_SECURE = 1 << 0;

/** `gref` is a grant_ref_t; sectors are of 512 bytes within its frame, both inclusive. */
export const blkif_request_segment = cstruct('struct blkif_request_segment', HEADER, 8, {
  gref: u32,
  first_sect: u8,
  last_sect: u8,
  _pad: pad(2),
});

/** `handle` is a blkif_vdev_t, `sector_number` a blkif_sector_t. */
export const blkif_request = cstruct('struct blkif_request', HEADER, 112, {
  operation: u8,
  nr_segments: u8,
  handle: u16,
  _pad: pad(4),
  id: u64,
  sector_number: u64,
  seg: array(blkif_request_segment, BLKIF_MAX_SEGMENTS_PER_REQUEST),
});

export const blkif_request_discard = cstruct('struct blkif_request_discard', HEADER, 32, {
  operation: u8,
  flag: u8,
  handle: u16,
  _pad: pad(4),
  id: u64,
  sector_number: u64,
  nr_sectors: u64,
});

export const blkif_request_indirect = cstruct('struct blkif_request_indirect', HEADER, 64, {
  operation: u8,
  indirect_op: u8,
  nr_segments: u16,
  _pad: pad(4),
  id: u64,
  sector_number: u64,
  handle: u16,
  _pad2: pad(2),
  indirect_grefs: array(u32, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST),
  _pad3: pad(4),
});

export const blkif_response = cstruct('struct blkif_response', HEADER, 16, {
  id: u64,
  operation: u8,
  _pad: pad(1),
  status: s16,
  _pad2: pad(4),
});

export const BLKIF_RSP_EOPNOTSUPP = -2;
export const BLKIF_RSP_ERROR = -1;
export const BLKIF_RSP_OKAY = 0;

export const blkif_sring = sring('blkif', HEADER, blkif_request, blkif_response);

export const VDISK_CDROM = 0x1;
export const VDISK_REMOVABLE = 0x2;
export const VDISK_READONLY = 0x4;
