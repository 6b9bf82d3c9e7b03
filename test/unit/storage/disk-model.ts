/** What a disk should hold, and reads of an image that are compared with it. */
import { randomFillSync } from 'node:crypto';
import { expect } from 'vitest';
import type { BlockImage } from '../../../src/xenner/backend/block/block-image.js';
import { Random } from '../../fuzz/random.js';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** Data, zeros and patterns in turns: lengths from a sector to some clusters. */
export function patchwork(bytes: number, seed: number): Buffer {
  const disk = Buffer.alloc(bytes);
  const random = new Random(seed);
  for (let at = 0; at < bytes; ) {
    const length = Math.min(bytes - at, 512 * (1 + random.below(random.pick([4, 64, 512]))));
    const piece = disk.subarray(at, at + length);
    if (random.below(3) === 0) randomFillSync(piece);
    else if (random.below(2) === 0) piece.fill(1 + random.below(255));
    at += length;
  }
  return disk;
}

/** A range in some buffers. */
export function pieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const take = Math.min(bytes.length - at, 512 * (1 + random.below(20)));
    buffers.push(bytes.subarray(at, at + take));
    at += take;
  }
  return buffers;
}

/** Where the two differ first; -1: nowhere. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  return a.findIndex((byte, i) => byte !== b[i]);
}

/** All of it at once, in some order by the piece, and in random ranges. */
export async function expectContent(image: BlockImage, disk: Uint8Array, seed = 1): Promise<void> {
  expect(image.sizeBytes).toBe(disk.length);
  const whole = new Uint8Array(disk.length).fill(0xee);
  await image.read(0, [whole]);
  expect(firstDifference(whole, disk)).toBe(-1);
  const random = new Random(seed);
  const ranges = Array.from({ length: 40 }, () => {
    const offset = random.below(disk.length / 512) * 512;
    return { offset, length: Math.min(disk.length - offset, 512 * (1 + random.below(600))) };
  });
  await Promise.all(
    ranges.map(async ({ offset, length }) => {
      const into = new Uint8Array(length).fill(0xee);
      await image.read(offset, pieces(random, into));
      const difference = firstDifference(into, disk.subarray(offset, offset + length));
      if (difference >= 0)
        throw new Error(`reading ${length} bytes at ${offset}: wrong at byte ${difference}`);
    }),
  );
}
