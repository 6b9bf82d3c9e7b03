/** When a back end hears of what the guest sent: at once, or with what comes after it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createNotifier, type Notifier } from '../../../src/kvm/index.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { HostPorts } from '../../../src/xenner/domain/host-ports.js';
import { EventChannels } from '../../../src/xenner/event-channels.js';
import { EventInbox } from '../../../src/xenner/event-inbox.js';
import { Harness } from '../hypercall/harness.js';

const HOLD_NS = 200_000;

let guest: Harness;
let events: EventChannels;
let inbox: EventInbox;
let ports: HostPorts;
let notifier: Notifier;
let port: number;
let now: number;
let armed: number[];
let heard: number;
let wake: () => void;

beforeEach(() => {
  guest = new Harness();
  guest.domain.wake = () => {};
  events = new EventChannels(guest.domain);
  inbox = new EventInbox();
  [now, armed, heard] = [1000, [], 0];
  const bells = { addBell: () => false, removeBell() {} };
  ports = new HostPorts(events, bells, inbox, { systemTime: () => now, arm: (due) => armed.push(due) });
  notifier = createNotifier(() => {
    heard++;
    wake();
  });
  notifier.hold(true);
  port = events.allocUnbound(DOMID_SELF, 0);
  ports.bind(port, notifier.id);
});
afterEach(() => {
  notifier.close();
  guest.close();
});

/** Does something of which the back end hears: an event that is missing never ends. */
async function hears(act: () => void): Promise<void> {
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  act();
  await woken;
}
const send = () => {
  expect(events.send(port)).toBe(0);
};

it('who is not patient hears of everything at once', async () => {
  for (let i = 0; i < 3; i++) await hears(send);
  expect([ports.due, armed]).toEqual([Infinity, []]);
});

describe('who is patient', () => {
  beforeEach(() => inbox.setPatient(port, true));

  it('hears at once of what follows a sleep', async () => {
    for (let i = 0; i < 3; i++) {
      await hears(send);
      ports.sleep();
    }
    expect([ports.due, armed, heard]).toEqual([Infinity, [], 3]);
  });

  it('hears of the rest after its time, once', async () => {
    await hears(send);
    send();
    now += 500;
    send();
    expect([ports.due, armed]).toEqual([1000 + HOLD_NS, [1000 + HOLD_NS]]);
    ports.attend(1000 + HOLD_NS - 1);
    expect(ports.due).toBe(1000 + HOLD_NS);
    await hears(() => ports.attend(1000 + HOLD_NS));
    expect([ports.due, heard]).toEqual([Infinity, 2]);
  });

  it('hears of the rest when the guest goes to sleep', async () => {
    await hears(send);
    send();
    await hears(() => ports.sleep());
    expect([ports.due, heard]).toEqual([Infinity, 2]);
  });

  it('hears nothing once it is unbound', async () => {
    await hears(send);
    send();
    ports.unbind(notifier.id);
    const other = events.allocUnbound(DOMID_SELF, 0);
    ports.bind(other, notifier.id);
    ports.sleep();
    port = other;
    await hears(send);
    expect(heard).toBe(2);
  });
});
