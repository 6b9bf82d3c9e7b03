/** The protocol as a client may use it that is not GDB, or no debugger at all. */
import { describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';
import { MAX_GDB_PACKET_BYTES, MAX_GDB_QUEUED_PACKETS } from '../../src/base/limits.js';
import { encodePacket } from '../../src/xenner/gdb/packet.js';
import { Client } from './client.js';
import { type DebuggedGuest, debuggedKernel, withGuest } from './guest.js';

const withClient = (use: (client: Client, guest: DebuggedGuest) => Promise<void>) =>
  withGuest({}, async (guest) => {
    const client = await Client.connect(guest.port);
    await use(client, guest);
    await client.end();
  });

const START = '00001080ffffffff';

describe('a packet', () => {
  it.each([
    ['?', 'T05thread:1;'],
    ['qSupported', /^PacketSize=4000;QStartNoAckMode\+;qXfer:features:read\+;vContSupported\+$/],
    ['qSupported:swbreak+;hwbreak+', /;swbreak\+;hwbreak\+$/],
    ['vMustReplyEmpty', ''],
    ['qUnknown', ''],
    ['vCont?', 'vCont;c;C;s;S'],
    ['qfThreadInfo', 'm1'],
    ['qThreadExtraInfo,1', Buffer.from('vCPU 0 runs').toString('hex')],
    ['qThreadExtraInfo,2', 'E16'],
    ['Hg1', 'OK'],
    ['Hg2', 'E16'],
    ['Hg-1', 'OK'],
    ['T1', 'OK'],
    ['T0', 'E16'],
    ['T2', 'E16'],
    ['p10', START],
    ['pfff', 'E16'],
    ['p', 'E16'],
    ['P10', 'E16'],
    ['P10=zz', 'E16'],
    ['P12=00000000', 'E16'],
    ['G00', 'E16'],
    ['mffffffff80100000,1', 'fc'],
    ['mffffffff80100000,0', ''],
    ['m0,4', 'E0e'],
    ['m8000000000000000,4', 'E0e'],
    ['mffffffffffffffff,ffffffff', 'E0e'],
    ['m', 'E16'],
    ['m1,2,3,', 'E0e'],
    ['Mffffffff80100000,2:00', 'E16'],
    ['M0,1:00', 'E0e'],
    ['Xffffffff80100000,0:', 'OK'],
    ['X:', 'E16'],
    ['Z0,ffffffff80100000,1', 'OK'],
    ['Z0,ffff800000000000,1', 'E16'],
    ['Z2,ffffffff80100000,10', 'E16'],
    ['Z3,ffffffff80100000,4', ''],
    ['Z9,0,0', ''],
    ['z4,ffffffff80100000,4', 'OK'],
    ['Z', ''],
    ['vCont;x', 'E16'],
    ['vCont;s:9', 'E16'],
    ['czz', 'E16'],
    ['qXfer:features:read:target.xml:0,10', 'm<?xml version="1'],
    ['qXfer:features:read:target.xml:ffffff,10', 'l'],
    ['qXfer:features:read:other.xml:0,10', 'E16'],
    ['qXfer:memory-map:read::0,10', ''],
    ['!', ''],
    ['', ''],
  ])('%s is answered', (packet, answer) =>
    withClient(async (client) => {
      const actual = await client.ask(packet);
      if (answer instanceof RegExp) expect(actual).toMatch(answer);
      else expect(actual).toBe(answer);
      expect(client.received[0], 'acknowledged').toBe('+');
    }),
  );

  it('that is damaged is asked for again; without acknowledgements it is dropped', () =>
    withClient(async (client) => {
      client.socket.write('$g#00');
      expect(await client.ask('?')).toBe('T05thread:1;');
      expect(client.received).toMatch(/^-\+/);
      expect(await client.ask('QStartNoAckMode')).toBe('OK');
      const before = client.received.length;
      client.socket.write('$g#00');
      await client.ask('?');
      expect(client.received.slice(before)).toBe(encodePacket('T05thread:1;').toString());
    }));

  it('is not longer than was agreed', () =>
    withClient(async (client) => {
      expect(await client.ask('x'.repeat(MAX_GDB_PACKET_BYTES))).toBe('');
      client.socket.write(`$${'x'.repeat(MAX_GDB_PACKET_BYTES + 1)}`);
      await client.ended();
    }));
});

describe('a client', () => {
  it('that waits for no answers is not served any more', () =>
    withClient(async (client) => {
      client.socket.write(encodePacket('c'));
      for (let i = 0; i <= 2 * MAX_GDB_QUEUED_PACKETS; i++) client.socket.write(encodePacket('g'));
      await client.ended();
    }));

  it('is alone', () =>
    withClient(async (client, guest) => {
      await client.ask('?');
      const other = await Client.connect(guest.port);
      await other.ended();
      expect(other.received).toBe('');
      expect(await client.ask('p10')).toBe(START);
    }));

  it('that steps at a breakpoint stays there, and is told so', () =>
    withClient(async (client) => {
      await client.ask('qSupported:swbreak+;hwbreak+');
      await client.ask('Z0,ffffffff80100001,1');
      expect(await client.ask('vCont;s')).toBe('T05thread:1;');
      for (let i = 0; i < 2; i++) expect(await client.ask('vCont;s')).toBe('T05thread:1;swbreak:;');
      expect(await client.ask('p10')).toBe('01001080ffffffff');
      await client.ask('z0,ffffffff80100001,1');
      expect(await client.ask('s')).toBe('T05thread:1;');
      expect(await client.ask('p10')).toBe('08001080ffffffff');
    }));

  it('that interrupts in the same breath as it lets the guest go on stops it', () =>
    withClient(async (client) => {
      client.socket.write(Buffer.concat([encodePacket('vCont;c'), Buffer.of(3)]));
      expect(await client.packet()).toBe('T02thread:1;');
      // Of a guest that stands still there is nothing to interrupt.
      client.socket.write(Buffer.of(3));
      expect(await client.ask('?')).toBe('T02thread:1;');
    }));

  it('writes bytes of any kind, and goes on elsewhere', () =>
    withClient(async (client, guest) => {
      const bytes = '$#}*\x00\xff';
      expect(await client.ask(`Xffffffff80200000,6:${bytes}`)).toBe('OK');
      expect(await client.ask('mffffffff80200000,6')).toBe(Buffer.from(bytes, 'latin1').toString('hex'));
      // HLT, of which ring 1 has none: the guest's own trap, that nobody takes yet.
      expect(await client.ask('Mffffffff80200000,1:f4')).toBe('OK');
      expect(await client.ask('cffffffff80200000')).toBe('T0bthread:1;');
      expect(await client.ask('p10')).toBe('00002080ffffffff');
      expect(await client.ask('c')).toBe('X06');
      expect((await guest.ended).reason).toBe('crash');
    }));

  it('may be gone at any moment', () =>
    withGuest({ wait: false, vcpus: 2 }, async (guest) => {
      for (const packet of [
        '',
        '$',
        '$g#',
        '$vCont;c#a8',
        '$vCont;s:1;c#c1',
        '$Z0,ffffffff80100000,1#4a',
        '\x03',
      ]) {
        const client = await Client.connect(guest.port);
        client.socket.write(packet);
        await client.end();
      }
      await guest.console.expect(/spinning/);
    }));
});

it('a port that is taken, or is none, is refused', async () => {
  await withGuest({}, async (guest) => {
    const config = { kernel: debuggedKernel(), memoryMiB: 64, engine: 'soft' as const };
    const taken = createDomain({ ...config, gdb: { port: guest.port } });
    await expect(taken).rejects.toMatchObject({ code: 'EGDB_PORT', message: /in use/ });
    await expect(createDomain({ ...config, gdb: { port: 65_536 } })).rejects.toMatchObject({
      code: 'EGDB_PORT',
    });
  });
});
