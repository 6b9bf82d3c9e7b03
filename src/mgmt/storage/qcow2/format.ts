/** Numbers of the format: docs/interop/qcow2.txt of QEMU. Everything in a file is big-endian. */

/** "QFI\xfb" */
export const MAGIC = 0x514649fb;

export const MIN_CLUSTER_BITS = 9;
/** QEMU's own limit. */
export const MAX_CLUSTER_BITS = 21;
export const MIN_EXTENDED_L2_CLUSTER_BITS = 14;
export const MAX_REFCOUNT_ORDER = 6;
export const V2_HEADER_BYTES = 72;
export const V3_HEADER_BYTES = 104;
export const MAX_BACKING_NAME_BYTES = 1023;

export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalData: 1n << 2n,
  compression: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;
export const COMPATIBLE = { lazyRefcounts: 1n << 0n } as const;
export const AUTOCLEAR = { bitmaps: 1n << 0n, rawExternalData: 1n << 1n } as const;

export const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  dataFile: 0x44415441,
} as const;

export const CRYPT = { none: 0, aes: 1, luks: 2 } as const;

/* The upper half of an entry of L1 and L2 tables */
/** Its refcount is 1: it may be written in place. */
export const COPIED_HI = 0x80000000;
export const COMPRESSED_HI = 0x40000000;
/** Bits 9-55 of an entry are an offset. */
export const OFFSET_HI = 0x00ffffff;
export const OFFSET_LO = 0xfffffe00;
/** Of these the ones that no number holds exactly. */
export const INEXACT_HI = 0x00e00000;
/* The lower half */
export const ZERO_LO = 1;

export const SUBCLUSTERS = 32;
