/** Frames that back ends wrote: which of them the vCPU thread is told of, and what waits for that. */
import { expect, it } from 'vitest';
import { WrittenFrames } from '../../../src/xenner/domain/written-frames.js';

/** Orders that are answered when the test says so. */
class Orders {
  readonly told: number[][] = [];
  readonly answers: Array<(error?: Error) => void> = [];
  readonly tell = (mfns: readonly number[]) => {
    this.told.push([...mfns]);
    return new Promise<void>((resolve, reject) => {
      this.answers.push((error) => (error ? reject(error) : resolve()));
    });
  };
}

function marked(...frames: number[]): SharedArrayBuffer {
  const marks = new SharedArrayBuffer(16);
  for (const frame of frames) new Uint8Array(marks)[frame] = 1;
  return marks;
}

it.each([
  { name: 'an engine that needs to hear of none', marks: undefined, wrote: [1, 2], told: [] },
  { name: 'frames that nothing was run from', marks: marked(5), wrote: [1, 2], told: [] },
  { name: 'one that something was', marks: marked(5), wrote: [1, 5, 2], told: [[5]] },
  { name: 'several, some twice', marks: marked(3, 5), wrote: [5, 3, 5, 3], told: [[5, 3]] },
])('$name', ({ marks, wrote, told }) => {
  const orders = new Orders();
  const frames = new WrittenFrames(marks, orders.tell);
  for (const mfn of wrote) frames.add(mfn);
  expect(frames.settled() !== undefined).toBe(told.length > 0);
  expect(orders.told).toEqual(told);
});

it('all wait until the last of them is known', async () => {
  const orders = new Orders();
  const frames = new WrittenFrames(marked(5, 6), orders.tell);
  const seen: string[] = [];
  const watch = (name: string) => frames.settled()?.then(() => seen.push(name));
  frames.add(5);
  const waiting = [watch('first')];
  // Somebody whose frames were told of already, by another one's call.
  waiting.push(watch('other'));
  frames.add(6);
  waiting.push(watch('second'));
  expect(orders.told).toEqual([[5], [6]]);
  orders.answers[0]!();
  await Promise.all(waiting.slice(0, 2));
  expect(seen).toEqual(['first', 'other']);
  expect(frames.settled()).toBeDefined();
  orders.answers[1]!();
  await Promise.all(waiting);
  expect(seen).toEqual(['first', 'other', 'second']);
  expect(frames.settled()).toBeUndefined();
});

it('a guest that is gone keeps nobody waiting', async () => {
  const orders = new Orders();
  const frames = new WrittenFrames(marked(5), orders.tell);
  frames.add(5);
  const settled = frames.settled();
  orders.answers[0]!(new Error('ended'));
  await settled;
  expect(frames.settled()).toBeUndefined();
});
