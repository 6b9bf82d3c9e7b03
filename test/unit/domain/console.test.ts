/** ConsoleBackend against a ring in real guest memory, with a guest that may write any index. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/index.js';
import { xencons_interface } from '../../../src/xenner/abi/console.js';
import { ConsoleBackend } from '../../../src/xenner/backend/console.js';

const RING = gpa(0x3000);
const at = (member: string) => gpa(RING + xencons_interface.offsetof(member));

let memory: GuestMemory;
let output: string[];
let accepting: boolean;
let drained: number;
let raised: number;
let backend: ConsoleBackend;

beforeEach(() => {
  memory = GuestMemory.create(0x10000);
  output = [];
  accepting = true;
  drained = 0;
  raised = 0;
  const sink = {
    write: (chunk: Buffer) => {
      output.push(chunk.toString('latin1'));
      return accepting;
    },
    inputDrained: () => {
      drained++;
    },
  };
  backend = new ConsoleBackend(memory, RING, sink, () => {
    raised++;
  });
});

afterEach(() => memory.close());

function guestWrites(text: string): void {
  let producer = memory.readU32(at('out_prod'));
  for (const byte of Buffer.from(text, 'latin1')) {
    memory.writeU8(gpa(at('out') + (producer % 2048)), byte);
    producer = (producer + 1) >>> 0;
  }
  memory.writeU32(at('out_prod'), producer);
}

function guestReads(limit = 1024): string {
  const consumer = memory.readU32(at('in_cons'));
  const count = Math.min(limit, (memory.readU32(at('in_prod')) - consumer) >>> 0);
  const bytes = Array.from({ length: count }, (_, i) =>
    memory.readU8(gpa(at('in') + (((consumer + i) >>> 0) % 1024))),
  );
  memory.writeU32(at('in_cons'), (consumer + count) >>> 0);
  return Buffer.from(bytes).toString('latin1');
}

describe('output', () => {
  it('takes what the guest wrote and tells it so', () => {
    guestWrites('hello\n');
    backend.service();
    expect(output).toEqual(['hello\n']);
    expect(memory.readU32(at('out_cons'))).toBe(6);
    expect(raised).toBe(1);
  });

  it('does not tell a guest that wrote nothing', () => {
    backend.service();
    expect(output).toEqual([]);
    expect(raised).toBe(0);
  });

  it.each([0, 2047, 2 ** 31 - 3, 2 ** 32 - 3])('wraps around from index %d', (start) => {
    memory.writeU32(at('out_prod'), start);
    memory.writeU32(at('out_cons'), start);
    guestWrites('0123456789');
    backend.service();
    expect(output.join('')).toBe('0123456789');
    expect(memory.readU32(at('out_cons'))).toBe((start + 10) >>> 0);
  });

  it('survives a producer that ran away: what is in the ring, and no more', () => {
    guestWrites('x'.repeat(2048));
    memory.writeU32(at('out_prod'), 0x80000000);
    backend.service();
    expect(output.join('').length).toBe(2048);
    expect(memory.readU32(at('out_cons'))).toBe(0x80000000);
  });

  it('waits while the sink is full, and loses nothing', () => {
    accepting = false;
    guestWrites('one');
    backend.service();
    guestWrites('two');
    backend.service();
    expect(output).toEqual(['one']);
    accepting = true;
    backend.resume();
    expect(output).toEqual(['one', 'two']);
  });

  it('flushes a paused console when the guest is gone', () => {
    accepting = false;
    guestWrites('one');
    backend.service();
    guestWrites('two');
    backend.flush();
    expect(output).toEqual(['one', 'two']);
  });
});

describe('input', () => {
  it('gives what fits and keeps the rest until the guest has read', () => {
    const text = 'abcdefgh'.repeat(200);
    backend.input(Buffer.from(text));
    expect(raised).toBe(1);
    let read = guestReads();
    backend.service();
    read += guestReads();
    expect(read).toBe(text);
  });

  it('gives nothing when the consumer index makes no sense', () => {
    memory.writeU32(at('in_cons'), 5000);
    expect(backend.input(Buffer.from('x'))).toBe(true);
    expect(raised).toBe(0);
    expect(memory.readU32(at('in_prod'))).toBe(0);
  });

  it('asks a writer to pause, and calls it back', () => {
    expect(backend.input(Buffer.alloc(70_000, 'y'))).toBe(false);
    let total = 0;
    for (let i = 0; i < 8; i++) {
      total += guestReads().length;
      backend.service();
    }
    expect(drained).toBe(1);
    expect(total).toBe(8 * 1024);
  });
});
