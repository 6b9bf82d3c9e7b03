/** Random requests to an image, several at once, and what they leave in a plain model of the disk. */
import { randomFillSync } from 'node:crypto';
import type { BlockImage } from '../../../src/xenner/backend/block/block-image.js';
import type { Random } from '../../fuzz/random.js';
import { firstDifference, KIB, pieces } from './disk-model.js';

interface ChurnOptions {
  readonly requests: number;
  /** Those of one batch do not touch each other's sectors: two that do have no order. */
  readonly atOnce: number;
  /** After each batch, what is on the disk if it was flushed. */
  readonly flushed?: (model: Buffer) => void;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Sizes from a sector to some clusters, at places that often are neighbours. */
function rangeOf(random: Random, sizeBytes: number): Range {
  const sectors = random.pick([1, 3, 8, 64, 128, 300]);
  const unit = random.pick([512, 4 * KIB, 64 * KIB]);
  const offset = Math.min(random.below(sizeBytes / unit) * unit, sizeBytes - 512);
  return { offset, length: Math.min(sizeBytes - offset, 512 * (1 + random.below(sectors))) };
}

const overlap = (a: Range, b: Range) => a.offset < b.offset + b.length && b.offset < a.offset + a.length;

function batchOf(random: Random, sizeBytes: number, atOnce: number): Range[] {
  const batch: Range[] = [];
  for (let i = 0; i < atOnce; i++) {
    const range = rangeOf(random, sizeBytes);
    if (!batch.some((other) => overlap(range, other))) batch.push(range);
  }
  return batch;
}

/** One request: checks a read, and brings the model up to date with anything else. */
async function request(
  image: BlockImage,
  model: Buffer,
  random: Random,
  { offset, length }: Range,
): Promise<void> {
  const area = model.subarray(offset, offset + length);
  const kind = random.below(20);
  if (kind < 11) {
    const data = new Uint8Array(length);
    if (random.below(4) > 0) randomFillSync(data);
    area.set(data);
    await image.write(offset, pieces(random, data));
  } else if (kind < 16) {
    const into = new Uint8Array(length).fill(0xee);
    await image.read(offset, pieces(random, into));
    const wrong = firstDifference(into, area);
    if (wrong >= 0) throw new Error(`reading ${length} bytes at ${offset}: wrong at byte ${wrong}`);
  } else if (kind < 18) {
    area.fill(0);
    await image.writeZeroes(offset, length, { mayUnmap: random.below(2) === 0 });
  } else {
    await image.discard(offset, length);
    await adopt(image, area, offset);
  }
}

/** A discarded range reads as zeros or as before: the model takes over which it is, sector by sector. */
async function adopt(image: BlockImage, area: Uint8Array, offset: number): Promise<void> {
  const into = new Uint8Array(area.length).fill(0xee);
  await image.read(offset, [into]);
  for (let at = 0; at < area.length; at += 512) {
    const sector = into.subarray(at, at + 512);
    const same = firstDifference(sector, area.subarray(at, at + 512)) < 0;
    if (!same && sector.some((byte) => byte !== 0))
      throw new Error(`a discarded sector at ${offset + at} has something else`);
    area.set(sector, at);
  }
}

export async function churn(
  image: BlockImage,
  model: Buffer,
  random: Random,
  options: ChurnOptions,
): Promise<void> {
  for (let done = 0; done < options.requests; ) {
    const batch = batchOf(random, image.sizeBytes, 1 + random.below(options.atOnce));
    await Promise.all(batch.map((range) => request(image, model, random, range)));
    done += batch.length;
    if (random.below(12) > 0) continue;
    await image.flush();
    options.flushed?.(model);
  }
}
