/** QEMU's stream of frames: in any pieces, as long as it is one; who has no room; and its end. */
import { Duplex } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { NetReceiver, Packet } from '../../../../src/xenner/backend/net/net-port.js';
import { NO_OFFLOADS } from '../../../../src/xenner/backend/net/net-port.js';
import { StreamPort } from '../../../../src/xenner/backend/net/stream-port.js';
import { whole } from './net-guest.js';
import { bytes } from './packets.js';

/** The other end of the stream, which takes what is written when it is told to. */
class Cable extends Duplex {
  readonly written: Buffer[] = [];
  #done: (() => void) | undefined;
  isStuck = false;

  constructor() {
    super({ writableHighWaterMark: 4000 });
  }
  override _read(): void {}
  override _writev(chunks: Array<{ chunk: Buffer }>, done: () => void): void {
    this.written.push(Buffer.concat(chunks.map(({ chunk }) => chunk)));
    if (this.isStuck) this.#done = done;
    else done();
  }
  free(): void {
    this.isStuck = false;
    this.#done?.();
  }
}

class Ear implements NetReceiver {
  readonly offloads = NO_OFFLOADS;
  readonly heard: Buffer[] = [];
  room = Infinity;
  drains = 0;
  readonly failures: string[] = [];
  receive(packets: readonly Packet[]): number {
    const taken = packets.slice(0, this.room);
    this.room -= taken.length;
    this.heard.push(...taken.map(({ pieces }) => Buffer.concat(pieces)));
    return taken.length;
  }
  drained(): void {
    this.drains++;
  }
  failed(error: Error): void {
    this.failures.push(error.message);
  }
}

const framed = (...frames: Buffer[]) =>
  Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.length);
      return [length, frame];
    }),
  );
const turn = () => new Promise((resolve) => setImmediate(resolve));

let cable: Cable;
let ear: Ear;
let port: StreamPort;
beforeEach(() => {
  cable = new Cable();
  ear = new Ear();
  port = new StreamPort('a cable', cable);
  port.attach(ear);
});

describe('frames', () => {
  const frames = [bytes(60, 1), bytes(14, 2), bytes(1514, 3), bytes(65_549, 4), bytes(61, 5)];

  it.each([1, 3, 7, 1000, 70_000])('come in pieces of %i bytes', async (size) => {
    const sent = size < 1000 ? frames.filter(({ length }) => length < 2000) : frames;
    const all = framed(...sent);
    for (let at = 0; at < all.length; at += size) cable.push(all.subarray(at, at + size));
    await turn();
    expect(ear.heard).toEqual(sent);
  });
  it('that are too short for Ethernet are nothing', async () => {
    cable.push(framed(bytes(13), Buffer.alloc(0), bytes(20)));
    await turn();
    expect(ear.heard).toEqual([bytes(20)]);
  });
  it.each([65_558, 2 ** 31, 2 ** 32 - 1])('of %i bytes are the end', async (length) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    cable.push(Buffer.concat([framed(bytes(60)), head]));
    await turn();
    expect(ear.failures).toEqual([`a frame of ${length} bytes: this is no network`]);
    expect(cable.destroyed).toBe(true);
  });
  it('of one turn are one write', async () => {
    for (const frame of frames.slice(0, 3)) expect(port.send(whole(frame))).toBe(true);
    expect(cable.written).toEqual([]);
    await turn();
    expect(cable.written).toEqual([framed(...frames.slice(0, 3))]);
  });
});

describe('who has no room', () => {
  it('gets frames when there is, and the stream waits meanwhile', async () => {
    ear.room = 2;
    cable.push(framed(bytes(20, 1), bytes(20, 2), bytes(20, 3)));
    await turn();
    expect([ear.heard.length, cable.isPaused()]).toEqual([2, true]);
    cable.push(framed(bytes(20, 4)));
    await turn();
    expect(ear.heard).toHaveLength(2);
    ear.room = Infinity;
    port.resume();
    await turn();
    expect(ear.heard).toEqual([1, 2, 3, 4].map((seed) => bytes(20, seed)));
    expect(cable.isPaused()).toBe(false);
  });
  it('is told to wait, and when not to', async () => {
    cable.isStuck = true;
    const answers = Array.from({ length: 4 }, () => port.send(whole(bytes(1500))));
    expect(answers).toEqual([true, true, false, false]);
    await turn();
    expect(ear.drains).toBe(0);
    cable.free();
    await turn();
    expect(ear.drains).toBe(1);
  });
  it('while nobody listens: frames are lost', async () => {
    ear.room = 0;
    cable.push(framed(bytes(20, 1)));
    await turn();
    port.detach();
    cable.push(framed(bytes(20, 2)));
    await turn();
    ear.room = Infinity;
    port.attach(ear);
    cable.push(framed(bytes(20, 3)));
    await turn();
    expect(ear.heard).toEqual([bytes(20, 3)]);
  });
});

describe('the end', () => {
  it('of the stream is told once', async () => {
    cable.destroy(new Error('cut'));
    await turn();
    expect(ear.failures).toEqual(['cut']);
    expect(port.send(whole(bytes(60)))).toBe(true);
    expect(() => port.attach(ear)).toThrow('cut');
  });
  it('of the port is no failure', async () => {
    await port.close();
    await port.close();
    await turn();
    expect([ear.failures, cable.destroyed]).toEqual([[], true]);
    expect(() => port.attach(ear)).toThrow('a cable is closed');
  });
});
