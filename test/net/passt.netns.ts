/** passt itself: a guest that gets an address by DHCP, and talks TCP to a server of this host and the other way round. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as abi from '../../src/xenner/abi/netif.js';
import { NetDriver } from '../../src/xenner/backend/net/net-driver.js';
import { openPasstPort, type PasstOptions } from '../../src/xenner/backend/net/passt-port.js';
import { GuestQueue, gsoInfo, NetGuest, type Received } from '../unit/backend/net/net-guest.js';
import { bytes, checkPacket, makePacket, type PacketSpec } from '../unit/backend/net/packets.js';
import { ip, until } from './lib/network.js';

const MAC = [0x00, 0x16, 0x3e, 0, 0, 1];
const GUEST_IP = [192, 0, 2, 10];
/** passt makes the gateway this host's loopback. */
const GATEWAY = [192, 0, 2, 1];
const [FIN, SYN, PSH, ACK] = [1, 2, 8, 16];
const BROADCAST = Array(6).fill(255);

const undo: Array<() => unknown> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});
// What passt takes its addresses from.
beforeAll(() => {
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'card0', 'type', 'veth', 'peer', 'name', 'wall0');
  for (const end of ['card0', 'wall0']) ip('link', 'set', end, 'up');
  ip('addr', 'add', '192.0.2.10/24', 'dev', 'card0');
  ip('route', 'add', 'default', 'via', '192.0.2.1');
});

class PasstGuest {
  readonly guest = new NetGuest();
  readonly queue = new GuestQueue(this.guest, { tx: 20, rx: 21 });
  readonly failures: string[] = [];
  gatewayMac: number[] = BROADCAST;
  #heard: Buffer[] = [];

  static async plug(options: PasstOptions = {}): Promise<PasstGuest> {
    const port = await openPasstPort(options);
    undo.push(() => port.close());
    const self = new PasstGuest();
    const driver = new NetDriver(self.guest, port, { mac: '00:16:3e:00:00:01', handle: 0 });
    const nodes = self.guest.nodes([self.queue], { 'feature-sg': 1, 'feature-gso-tcpv4': 1 });
    const connection = await driver.connect(nodes, (reason) => self.failures.push(reason));
    undo.push(async () => {
      await connection.disconnect();
      self.guest.close();
    });
    self.queue.offer(200);
    return self;
  }

  /** The next packet of a kind, the checksums of which are right. Others wait. */
  next(what: string, wanted: (data: Buffer) => boolean): Promise<Buffer> {
    return until(what, () => {
      const before = this.queue.rx.rspCons;
      this.#heard.push(...(this.queue.received() as Received[]).map(({ data }) => Buffer.from(data)));
      this.queue.offer((this.queue.rx.rspCons - before) >>> 0);
      const index = this.#heard.findIndex(wanted);
      return index < 0 ? undefined : this.#heard.splice(index, 1)[0];
    });
  }

  /** Asks who has the gateway's address, as an operating system does. */
  async arp(): Promise<void> {
    const body = [0, 1, 8, 0, 6, 4, 0, 1, ...MAC, ...GUEST_IP, ...Array(6).fill(0), ...GATEWAY];
    this.queue.send(Buffer.from([...BROADCAST, ...MAC, 8, 6, ...body]));
    const reply = await this.next(
      'an ARP reply',
      (data) => data.readUInt16BE(12) === 0x0806 && data[21] === 2,
    );
    this.gatewayMac = [...reply.subarray(22, 28)];
  }

  /** Leaves checksums to the back end. With `segment`, also cutting. */
  send(spec: Omit<PacketSpec, 'version' | 'addresses' | 'macs'>, segment?: number): void {
    const ends = { addresses: [...GUEST_IP, ...GATEWAY], macs: [...this.gatewayMac, ...MAC] };
    const data = makePacket({ version: 4, checksum: 'blank', window: 65535, ...ends, ...spec });
    const sizes: number[] = [];
    for (let at = 0; at < data.length; at += 4096) sizes.push(Math.min(4096, data.length - at));
    const extras = segment ? [gsoInfo(segment)] : [];
    this.queue.send(data, { flags: abi.NETTXF_csum_blank, sizes, extras });
    this.queue.sent();
  }

  tcp(
    what: string,
    port: number,
    wanted: (packet: ReturnType<typeof checkPacket>) => boolean,
  ): Promise<Buffer> {
    return this.next(what, (data) => {
      if (data.readUInt16BE(12) !== 0x0800 || data[23] !== 6) return false;
      return data.readUInt16BE(36) === port && wanted(checkPacket(data));
    });
  }
}

/** A DHCPDISCOVER: struct dhcp_packet of RFC 2131, and option 53. */
function discover(): Buffer {
  const message = Buffer.alloc(244);
  message.set([1, 1, 6, 0, 1, 2, 3, 4], 0);
  message.set(MAC, 28);
  message.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
  return message;
}

describe('a guest', () => {
  it('gets its address by DHCP', async () => {
    const guest = await PasstGuest.plug({ mtu: 1400 });
    const ends = { addresses: [0, 0, 0, 0, 255, 255, 255, 255], macs: [...BROADCAST, ...MAC] };
    const packet = { version: 4, protocol: 'udp', ports: [68, 67], payload: discover(), ...ends } as const;
    guest.queue.send(makePacket(packet));
    const offer = await guest.next('an offer', (data) => data.length > 280 && data.readUInt16BE(36) === 68);
    const { payload } = checkPacket(offer);
    expect([...payload.subarray(16, 20)]).toEqual(GUEST_IP);
    // Options 3, the router, and 26, the MTU.
    expect(payload.includes(Buffer.from([3, 4, ...GATEWAY]))).toBe(true);
    expect(payload.includes(Buffer.from([26, 2, 1400 >> 8, 1400 & 255]))).toBe(true);
  });

  it('talks TCP to a server on this host, in segments that the back end cuts', async () => {
    const sent = bytes(50_000);
    const server = createServer({ allowHalfOpen: true }).listen(7001, '127.0.0.1');
    undo.push(() => server.close());
    await once(server, 'listening');
    const guest = await PasstGuest.plug();
    await guest.arp();
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const tcp = { protocol: 'tcp', ports: [5000, 7001], payload: Buffer.alloc(0) } as const;
    guest.send({ ...tcp, seq: 1000, ack: 0, flags: SYN });
    const accepted = await guest.tcp(
      'SYN and ACK',
      5000,
      ({ flags }) => (flags & (SYN | ACK)) === (SYN | ACK),
    );
    const ack = checkPacket(accepted).seq + 1;
    guest.send({ ...tcp, seq: 1001, ack, flags: ACK });
    const [socket] = await connected;
    const received: Buffer[] = [];
    socket.on('data', (data) => received.push(data));
    guest.send({ ...tcp, seq: 1001, ack, flags: ACK | PSH, payload: sent }, 1448);
    await until('all of it', () => Buffer.concat(received).length === sent.length);
    expect(Buffer.concat(received)).toEqual(sent);
    socket.write('good bye');
    const answer = await guest.tcp('the answer', 5000, ({ payload }) => payload.length > 0);
    expect(checkPacket(answer).payload.toString()).toBe('good bye');
    guest.send({ ...tcp, seq: 1001 + sent.length, ack: ack + 8, flags: ACK | FIN });
    await once(socket, 'end');
    expect(guest.failures).toEqual([]);
  });

  it('is reached by a port that is forwarded', async () => {
    const guest = await PasstGuest.plug({ tcpPorts: ['7002:22'] });
    await guest.arp();
    const client = connect({ host: '127.0.0.1', port: 7002 }).on('error', () => {});
    undo.push(() => client.destroy());
    const syn = await guest.tcp('a SYN', 22, ({ flags }) => (flags & SYN) !== 0);
    expect([...syn.subarray(30, 34)]).toEqual(GUEST_IP);
  });
});

describe('passt', () => {
  it('that is not there is an error with a next step', async () => {
    await expect(openPasstPort({ program: '/no/such/passt' })).rejects.toThrow(
      'cannot start /no/such/passt: it is not there; install the package passt',
    );
  });
  it('that does not like its options says so', async () => {
    const port = await openPasstPort({ tcpPorts: ['nonsense'] });
    undo.push(() => port.close());
    const nobody = { offloads: port.offloads, receive: () => 0, drained: () => {} };
    const reason = await new Promise<string>((resolve) => {
      port.attach({ ...nobody, failed: (error) => resolve(error.message) });
    });
    expect(reason).toBe('passt has ended: Invalid port specifier nonsense');
    expect(() => port.attach({ ...nobody, failed: () => {} })).toThrow(reason);
  });
  it('has room for more than it sends at once: it drops the rest', async () => {
    const port = await openPasstPort();
    undo.push(() => port.close());
    const sockets = execFileSync('ss', ['--unix', '--memory', '--processes'], { encoding: 'utf8' });
    const [, room] = /users:\(\("passt\S*,fd=3\)\)\s+skmem:\(\S*,tb(\d+),/.exec(sockets) ?? [sockets];
    // Twice what a user may have where nobody has changed the host's limits; a socket has half of it by itself.
    expect(Number(room)).toBeGreaterThan(400_000);
  });
  it('ends with its port, and not before', async () => {
    const running = () =>
      readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .filter((pid) => {
          try {
            const status = readFileSync(`/proc/${pid}/status`, 'utf8');
            return status.includes(`PPid:\t${process.pid}\n`) && /^Name:\tpasst/.test(status);
          } catch {
            return false;
          }
        }).length;
    const port = await openPasstPort();
    expect(running()).toBe(1);
    await port.close();
    await port.close();
    expect(running()).toBe(0);
  });
});
