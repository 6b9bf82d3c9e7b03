/** Repeatable randomness and byte mutations for the fuzz tests. */

/** How long and from where: `XENNER_FUZZ_CASES` (per seed input) and `XENNER_FUZZ_SEED`; both are printed on failure. */
export function fuzzSettings(defaultCases: number): { cases: number; seed: number } {
  const number = (name: string, fallback: number): number => {
    const value = Number(process.env[name] ?? fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${name} is not a number`);
    return value;
  };
  return { cases: number('XENNER_FUZZ_CASES', defaultCases), seed: number('XENNER_FUZZ_SEED', 1) };
}

/** xorshift32: the same numbers for the same seed on every machine. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  below(limit: number): number {
    return limit === 0 ? 0 : this.next() % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** Values at which sizes and offsets break. */
const EDGES = [
  0n,
  1n,
  3n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 47n,
  1n << 63n,
];

/** A changed copy: one to eight changes of bytes, fields or length. Most changes hit the first `head` bytes. */
export function mutate(random: Random, input: Buffer, head = 512): Buffer {
  let bytes = Buffer.from(input);
  for (let changes = 1 + random.below(8); changes > 0; changes--) {
    if (bytes.length === 0) return bytes;
    const at =
      random.below(4) === 0 ? random.below(bytes.length) : random.below(Math.min(head, bytes.length));
    switch (random.below(8)) {
      case 0:
        bytes = bytes.subarray(0, at);
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(bytes.length))]);
        break;
      case 2:
      case 3:
        edge(random, bytes, at - (at % 4), 8);
        break;
      case 4:
        edge(random, bytes, at - (at % 2), 2);
        break;
      case 5:
        edge(random, bytes, at - (at % 4), 4);
        break;
      default:
        bytes[at] = random.below(256);
    }
  }
  return bytes;
}

function edge(random: Random, bytes: Buffer, at: number, size: 2 | 4 | 8): void {
  if (at + size > bytes.length) return;
  const near = random.pick([0n, 0n, 1n, -1n, -4096n]);
  const value = BigInt.asUintN(size * 8, random.pick(EDGES) + near);
  for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 255n);
}
