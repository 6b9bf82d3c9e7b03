/** Ports that a back end's thread raises itself. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/index.js';
import { shared_info, vcpu_info } from '../../../src/xenner/abi/xen.js';
import { EventLine } from '../../../src/xenner/event-line.js';
import {
  Area,
  BLOCK_VCPU_AREA,
  blockOffset,
  DIRECT_VA,
  KICK_VECTOR,
  PORT_BELL,
  PORT_IPI,
  vcpu_area,
} from '../../../src/xenner/monitor/vcpu-area.js';

const PAGE = 4096;
const ADDRESSES = { sharedInfo: gpa(0), ports: gpa(PAGE), monitor: gpa(16 * PAGE), nrVcpus: 2 };
const PORT = 70;
const SIZE = 128 * PAGE;

let memory: GuestMemory;
let line: EventLine;
let injected: [vcpu: number, vector: number][];
const area = (vcpu: number) =>
  new Area(memory, gpa(ADDRESSES.monitor + blockOffset(vcpu) + BLOCK_VCPU_AREA), vcpu_area);
const infoOf = (vcpu: number) => gpa(vcpu * vcpu_info.size);
const bind = (kind: number) => memory.writeU8(gpa(ADDRESSES.ports + PORT), kind);
const pending = () => (memory.readU32(gpa(shared_info.offsetof('evtchn_pending') + 8)) >>> (PORT - 64)) & 1;
const upcall = (vcpu: number) => vcpu_info.decode(memory.copyOut(infoOf(vcpu), vcpu_info.size));

beforeEach(() => {
  memory = GuestMemory.create(SIZE);
  injected = [];
  line = new EventLine(memory, ADDRESSES, {
    inject: (vcpu, vector) => injected.push([vcpu, vector]),
    close: () => {},
  });
  for (const vcpu of [0, 1]) area(vcpu).set('vcpu_info', DIRECT_VA + BigInt(infoOf(vcpu)));
});
afterEach(() => memory.close());

it('sets the bits and interrupts the vCPU of the port, once', () => {
  bind(PORT_BELL | 1);
  line.raise(PORT);
  expect(pending()).toBe(1);
  expect(upcall(1)).toMatchObject({ evtchn_upcall_pending: 1, evtchn_pending_sel: 2n });
  expect(upcall(0)).toMatchObject({ evtchn_upcall_pending: 0, evtchn_pending_sel: 0n });
  line.raise(PORT);
  expect(injected).toEqual([[1, KICK_VECTOR]]);
});

it('a masked port is pending, and only who polls is interrupted', () => {
  bind(PORT_BELL);
  memory.writeU32(gpa(shared_info.offsetof('evtchn_mask') + 8), 0xffffffff);
  area(1).setLow('polling', 1);
  line.raise(PORT);
  expect([pending(), upcall(0).evtchn_upcall_pending, injected]).toEqual([1, 0, [[1, KICK_VECTOR]]]);
});

it.each([
  ['is free', 0],
  ['is between vCPUs', PORT_IPI | 1],
  ['goes to a vCPU that there is not', PORT_BELL | 15],
])('nothing happens on a port that %s', (_, kind) => {
  bind(kind);
  line.raise(PORT);
  expect([pending(), injected]).toEqual([0, []]);
});

it.each([
  ['beyond memory', DIRECT_VA + BigInt(SIZE - 8)],
  ['below the direct map', DIRECT_VA - 64n],
  ['not aligned', DIRECT_VA + 4n],
  ['anywhere', 0xffff_ffff_ffff_ffffn],
])('nothing happens when the guest has its vcpu_info %s', (_, address) => {
  bind(PORT_BELL);
  area(0).set('vcpu_info', address);
  line.raise(PORT);
  expect([pending(), injected]).toEqual([0, []]);
});
