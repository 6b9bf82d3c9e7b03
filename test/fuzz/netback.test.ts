/**
 * Rings of a hostile guest: whatever stands in requests, extra info and indices, the back end answers or stops, soon, touches no
 * memory that was not granted, and gives all of it back. Longer runs: XENNER_FUZZ_CASES=100000 XENNER_FUZZ_SEED=7
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { gpa } from '../../src/kvm/guest-memory.js';
import { NetDriver } from '../../src/xenner/backend/net/net-driver.js';
import type { Packet } from '../../src/xenner/backend/net/net-port.js';
import { GuestQueue, gsoInfo, NetGuest, TestPort, whole } from '../unit/backend/net/net-guest.js';
import { bytes, makePacket } from '../unit/backend/net/packets.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(400);
const PAGE = 4096;
/** Nobody grants these: the back end must leave them alone. */
const SECRET_MFN = 300;
const SECRETS = 8;

let guest: NetGuest;
beforeEach(() => {
  guest = new NetGuest();
  guest.memory.fill(gpa(SECRET_MFN * PAGE), SECRETS * PAGE, 0xa5);
});
afterEach(() => guest.close());

/** Good requests of all kinds; the rest is up to chance. */
function seedRing(queue: GuestQueue, random: Random): void {
  const version = random.pick([4, 6] as const);
  const protocol = random.pick(['tcp', 'udp'] as const);
  const payload = bytes(random.below(9000), random.next());
  const data = makePacket({ version, protocol, payload, checksum: 'blank' });
  const first = Math.min(data.length, 1 + random.below(4096));
  const sizes = [first];
  for (let left = data.length - first; left > 0; left -= sizes.at(-1)!)
    sizes.push(Math.min(left, 1 + random.below(4096)));
  const extras = random.below(2) ? [gsoInfo(1 + random.below(2000), version === 4 ? 1 : 2)] : [];
  queue.put(data, { sizes, extras, flags: random.below(4) });
}

/** Changes of what is on a ring, and of its indices. */
function damage(queue: GuestQueue, random: Random): void {
  const ring = random.pick([queue.tx, queue.rx]);
  const at = gpa(ring.firstMfn * PAGE);
  const page = Buffer.from(guest.memory.copyOut(at, PAGE));
  // Indices less often, for they end the game.
  const start = random.below(8) === 0 ? 0 : 64;
  const length = 64 + 12 * 40 - start;
  const changed = mutate(random, page.subarray(start, start + length), length);
  guest.memory.copyIn(gpa(at + start), changed.subarray(0, length));
}

function randomPacket(random: Random): Packet {
  const packet = makePacket({
    version: random.pick([4, 6] as const),
    protocol: random.pick(['tcp', 'udp'] as const),
    payload: bytes(random.below(12_000)),
    checksum: 'blank',
  });
  if (random.below(3) === 0) return whole(mutate(random, packet));
  const headerBytes = random.below(100);
  const payloadBytes = random.below(2000);
  return whole(packet, {
    checksum: { start: random.below(100), offset: random.below(20) },
    segments: random.below(2)
      ? { type: random.pick(['tcpv4', 'tcpv6'] as const), headerBytes, payloadBytes }
      : undefined,
  });
}

async function play(random: Random): Promise<'stopped' | 'alive'> {
  const queue = new GuestQueue(guest, { tx: 20, rx: 21 });
  const port = new TestPort();
  const driver = new NetDriver(guest, port, { mac: '00:16:3e:00:00:01', handle: 0 });
  let failed = false;
  const features = {
    'feature-sg': random.below(2),
    'feature-gso-tcpv4': random.below(2),
    'feature-no-csum-offload': random.below(2),
    'request-multicast-control': random.below(2),
  };
  const connection = await driver.connect(guest.nodes([queue], features), () => {
    failed = true;
  });
  for (let round = 0; round < 8 && !failed; round++) {
    seedRing(queue, random);
    queue.offer(random.below(20));
    if (random.below(6) === 0) damage(queue, random);
    queue.tx.push();
    guest.event(20);
    guest.event(21);
    port.bring(randomPacket(random));
    // The guest may have damaged rsp_prod: what it takes for an answer is its own affair.
    for (const ring of [queue.tx, queue.rx]) ring.rspCons = ring.get('rsp_prod');
  }
  expect(failed).toBe(port.receiver === undefined);
  await connection.disconnect();
  for (const { data } of port.sent) expect(data.includes(Buffer.alloc(16, 0xa5))).toBe(false);
  return failed ? 'stopped' : 'alive';
}

it(`stays harmless (${cases} cases, seed ${seed})`, async () => {
  const ends = { stopped: 0, alive: 0 };
  for (let i = 0; i < cases; i++) {
    guest.reset();
    ends[await play(new Random(seed * 1_000_003 + i))]++;
    expect(guest.heldGrants, `seed ${seed}, case ${i}`).toBe(0);
  }
  const secrets = guest.memory.copyOut(gpa(SECRET_MFN * PAGE), SECRETS * PAGE);
  expect(secrets.every((byte) => byte === 0xa5)).toBe(true);
  // Both ends are played.
  expect(ends.stopped).toBeGreaterThan(cases / 50);
  expect(ends.alive).toBeGreaterThan(cases / 50);
});
