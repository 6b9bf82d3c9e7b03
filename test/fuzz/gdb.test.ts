/**
 * A debugger's client is hostile: whatever bytes come, however they are cut and whenever they stop, the launcher goes on, and
 * the next client is served. Longer: XENNER_FUZZ_CASES=5000 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/gdb.test.ts
 */
import { expect, it } from 'vitest';
import { createDomain, type Domain } from 'xenner';
import { encodePacket } from '../../src/xenner/gdb/packet.js';
import { Client } from '../gdb/client.js';
import { debuggedKernel } from '../gdb/guest.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(150);
const TEXT = 'ffffffff80100000';
/** All but those that end the domain, which the test would only have to start again. */
const PACKETS = [
  ...['?', 'g', 'p10', 'qSupported:swbreak+;hwbreak+', 'qfThreadInfo', 'qThreadExtraInfo,2', 'vCont?'],
  ...['c', 's', 'vCont;c', 'vCont;s:1;c', 'vCont;s:2', 'vCont;s', `c${TEXT}`, 'Hg2', 'Hc1', 'D'],
  ...[`m${TEXT},40`, `m${TEXT},ffffffff`, `M${TEXT},4:90909090`, `X${TEXT},2:ab`, 'm0,1'],
  ...[`Z0,${TEXT},1`, `z0,${TEXT},1`, `Z1,${TEXT},1`, `Z2,ffffffff80200000,8`, `Z4,ffffffff80200008,4`],
  ...['P10=0000000000000000', 'P7=0100000000000000', 'P11=00010000', 'G', 'QStartNoAckMode', 'T1'],
  ...['qXfer:features:read:target.xml:0,fff', 'vMustReplyEmpty', '!', ''],
];

/** Right; right but for what it says; or wrong altogether. */
function packet(random: Random): Buffer {
  const data = random.pick(PACKETS);
  if (random.below(6) === 0) return encodePacket(mutate(random, Buffer.from(data)).toString('latin1'));
  return random.below(6) === 0 ? mutate(random, encodePacket(data)) : encodePacket(data);
}

function stream(random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let count = 1 + random.below(12); count > 0; count--) {
    if (random.below(6) === 0) parts.push(Buffer.of(3));
    parts.push(packet(random));
    if (random.below(40) === 0) parts.push(Buffer.alloc(random.below(40_000), '$#}+-\x03x'));
  }
  return Buffer.concat(parts);
}

function start(random: Random): Promise<Domain> {
  const config = {
    kernel: debuggedKernel(),
    memoryMiB: 64,
    vcpus: 2,
    engine: 'soft',
    onReboot: 'end',
  } as const;
  return createDomain({ ...config, gdb: { port: 0, wait: random.below(2) === 0 } });
}

/** A client that is let in: one at a time is, and the end of the last one may not have been seen yet. */
async function connect(domain: Domain): Promise<Client | undefined> {
  for (;;) {
    try {
      const client = await Client.connect(domain.gdbPort!);
      if ((await client.ask('qC')) !== undefined) return client;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // The domain has ended, and its port with it.
      if (code === 'ECONNREFUSED') return undefined;
      if (code !== 'ECONNRESET') throw error;
    }
  }
}

/** Until what was sent has been dealt with, if there is an end to that. */
async function allServed(client: Client): Promise<void> {
  // The end of whatever packet has only begun.
  client.socket.write('#00');
  let answer = await client.ask('qC');
  while (answer !== undefined && !answer.startsWith('QC')) answer = await client.packet();
}

/** Sends it in pieces, and goes away: at once, or when all of it is served. */
async function attack(random: Random, client: Client): Promise<void> {
  const bytes = stream(random);
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(random.below(2) === 0 ? 4 : 4096);
    client.socket.write(bytes.subarray(at, at + size));
    at += size;
    if (random.below(50) === 0) break;
  }
  if (random.below(4) !== 0) await allServed(client);
  await client.end();
}

it(`any bytes (seed ${seed}, ${cases} cases)`, { timeout: 600_000 + cases * 1000 }, async () => {
  const random = new Random(seed);
  let domain = await start(random);
  let [served, ended] = [0, 0];
  for (let i = 0; i < cases; i++) {
    const client = await connect(domain);
    if (client !== undefined) {
      await attack(random, client);
      served++;
    } else {
      await domain.wait();
      ended++;
      domain = await start(random);
    }
  }
  await domain.destroy();
  expect(served, `${ended} domains ended`).toBeGreaterThan(cases / 2);
  expect(ended, 'guests that it made crash').toBeGreaterThan(0);
});
