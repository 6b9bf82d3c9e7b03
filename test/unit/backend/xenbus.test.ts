/** BackendDevice on a real store, with front ends that do as Linux's do, or not, and a driver that writes down what it is asked. */
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { XennerError } from '../../../src/base/errors.js';
import { createLogger, type Topic } from '../../../src/base/log.js';
import * as xenbus from '../../../src/xenner/abi/xenbus.js';
import { BackendDevice, type BackendDriver, type DeviceNodeMap } from '../../../src/xenner/backend/xenbus.js';
import { type Json, Saved } from '../../../src/xenner/save/saved.js';
import { layoutDomain, Xenstore, type XenstoreHandle } from '../../../src/xenner/xenstore/index.js';

const DOMID = 5;
const DEVID = 51712;
const FRONT = `/local/domain/${DOMID}/device/vbd/${DEVID}`;
const BACK = `/local/domain/0/backend/vbd/${DOMID}/${DEVID}`;
const ERROR = `/local/domain/0/error/backend/vbd/${DOMID}/${DEVID}/error`;
const { XenbusStateInitialising, XenbusStateInitWait, XenbusStateInitialised, XenbusStateConnected } = xenbus;
const { XenbusStateClosing, XenbusStateClosed, XenbusStateReconfiguring } = xenbus;

/** What the driver was asked for, in order. */
let calls: string[];
let nodes: DeviceNodeMap;
/** Of the connection that there was last. */
let fail: (reason: string) => void;
/** connect() and disconnect() wait for it. */
let gate: Promise<void>;
let refusal: Error | undefined;

const driver: BackendDriver = {
  type: 'vbd',
  features: () => new Map([['feature-flush-cache', '1']]),
  frontendNodes: () => new Map([['virtual-device', `${DEVID}`]]),
  connect: async (given, failed) => {
    calls.push('connect');
    nodes = given;
    fail = failed;
    await gate;
    if (refusal !== undefined) throw refusal;
    return {
      disconnect: async () => {
        calls.push('disconnect');
        await gate;
      },
    };
  },
};

let store: Xenstore;
let host: XenstoreHandle;
let guest: XenstoreHandle;
let device: BackendDevice;
let warnings: string[];

function add(options: { restored?: boolean } = {}, topics: readonly Topic[] = []): BackendDevice {
  const log = createLogger(
    topics,
    new Writable({
      write: (chunk, _encoding, done) => {
        warnings.push((JSON.parse(`${chunk}`) as { msg: string }).msg);
        done();
      },
    }),
  );
  return new BackendDevice({ store: host, domid: DOMID, devid: DEVID, driver, log, ...options });
}

beforeEach(() => {
  calls = [];
  warnings = [];
  gate = Promise.resolve();
  refusal = undefined;
  store = new Xenstore();
  host = store.client();
  guest = store.client(DOMID);
  const rings = { consoleRingRef: 3, consolePort: 2, storeRingRef: 2, storePort: 1 };
  layoutDomain(host, { domid: DOMID, name: 'g', uuid: 'u', memoryKiB: 65536, vcpus: 1, ...rings });
  device = add();
});

afterEach(() => device.close());

/** Everything that was caused so far is done, but for what waits for the gate. */
const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

async function front(state: number | string): Promise<number> {
  guest.write(`${FRONT}/state`, state);
  await settled();
  return back();
}

const back = () => host.readInt(`${BACK}/state`) ?? Number.NaN;

async function connect(): Promise<void> {
  guest.transaction((view) => {
    view.write(`${FRONT}/ring-ref`, 8);
    view.write(`${FRONT}/queue-0/event-channel`, 9);
  });
  expect(await front(XenbusStateInitialised)).toBe(XenbusStateConnected);
  expect(await front(XenbusStateConnected)).toBe(XenbusStateConnected);
}

describe('a device', () => {
  it('is laid out at both ends, and waits', async () => {
    await settled();
    expect(back()).toBe(XenbusStateInitWait);
    expect(host.directory(BACK)).toEqual([
      'frontend',
      'frontend-id',
      'online',
      'state',
      'feature-flush-cache',
    ]);
    expect(guest.directory(FRONT)).toEqual(['backend', 'backend-id', 'state', 'virtual-device']);
    expect(guest.read(`${BACK}/feature-flush-cache`)).toBe('1');
    expect(() => guest.write(`${BACK}/state`, XenbusStateConnected)).toThrow('EACCES');
    expect(calls).toEqual([]);
  });

  it('traces what both ends do, where that is asked for', async () => {
    await device.close();
    device = add({}, ['device']);
    await connect();
    expect(warnings).toEqual(['front end', 'connects', 'back end', 'front end']);
  });

  it('appears to the guest as a whole', async () => {
    await device.close();
    const seen: (string | undefined)[] = [];
    const watch = guest.watch('device', () => seen.push(host.read(`${BACK}/state`)));
    await settled();
    seen.length = 0;
    device = add();
    await settled();
    expect(new Set(seen)).toEqual(new Set(['2']));
    watch.close();
  });

  it.each([
    ['Initialised first, as blkfront', [XenbusStateInitialised, XenbusStateConnected]],
    ['Connected at once, as netfront', [XenbusStateConnected]],
  ])('connects to a front end that is %s', async (_, states) => {
    for (const state of states) expect(await front(state)).toBe(XenbusStateConnected);
    expect(calls).toEqual(['connect']);
  });

  it('gives the driver every node of the front end', async () => {
    await connect();
    expect(Object.fromEntries(nodes)).toEqual({
      backend: BACK,
      'backend-id': '0',
      'virtual-device': `${DEVID}`,
      state: '3',
      'ring-ref': '8',
      'queue-0': '',
      'queue-0/event-channel': '9',
    });
  });

  it('serves until the front end has closed, and then a new one', async () => {
    for (let i = 0; i < 3; i++) {
      await connect();
      expect(await front(XenbusStateClosing)).toBe(XenbusStateClosing);
      expect(calls.at(-1)).toBe('connect');
      expect(await front(XenbusStateClosed)).toBe(XenbusStateClosed);
      expect(calls.at(-1)).toBe('disconnect');
      expect(await front(XenbusStateInitialising)).toBe(XenbusStateInitWait);
    }
    expect(calls).toEqual(Array(3).fill(['connect', 'disconnect']).flat());
  });

  it('begins anew with a front end that was restarted without a word', async () => {
    await connect();
    expect(await front(XenbusStateInitialising)).toBe(XenbusStateInitWait);
    await connect();
    expect(calls).toEqual(['connect', 'disconnect', 'connect']);
  });

  it.each([XenbusStateReconfiguring, xenbus.XenbusStateReconfigured, XenbusStateInitWait])(
    'goes on when the front end is in state %i',
    async (state) => {
      await connect();
      expect(await front(state)).toBe(XenbusStateConnected);
      expect(calls).toEqual(['connect']);
    },
  );

  it.each(['', 'x', '9', '-1', '4 ', '0', '99999999999999999999'])(
    'closes for a front end whose state is %j, and can be begun anew',
    async (state) => {
      await connect();
      expect(await front(state)).toBe(XenbusStateClosed);
      expect(calls).toEqual(['connect', 'disconnect']);
      expect(await front(XenbusStateInitialising)).toBe(XenbusStateInitWait);
    },
  );

  it('closes for a front end that removes its nodes', async () => {
    await connect();
    guest.rm(`${FRONT}/state`);
    await settled();
    expect([back(), calls.at(-1)]).toEqual([XenbusStateClosed, 'disconnect']);
  });

  it('takes states that come while it connects after that', async () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    await front(XenbusStateInitialised);
    await front(XenbusStateClosing);
    expect(await front(XenbusStateClosed)).toBe(XenbusStateInitWait);
    expect(calls).toEqual(['connect']);
    open();
    await settled();
    expect([back(), calls]).toEqual([XenbusStateClosed, ['connect', 'disconnect']]);
  });
});

describe('an error', () => {
  it('of what the front end says is told, and it may begin anew', async () => {
    refusal = new XennerError('EFRONTEND', 'ring-ref is no number');
    expect(await front(XenbusStateInitialised)).toBe(XenbusStateClosed);
    expect(host.read(ERROR)).toBe('22 ring-ref is no number');
    expect(warnings).toEqual([`vbd/${DOMID}/${DEVID}: ring-ref is no number`]);
    refusal = undefined;
    expect(await front(XenbusStateConnected)).toBe(XenbusStateClosed);
    expect(calls).toEqual(['connect']);
    expect(await front(XenbusStateInitialising)).toBe(XenbusStateInitWait);
    expect(host.exists(ERROR)).toBe(false);
    await connect();
  });

  it('of a running device ends it', async () => {
    await connect();
    fail('the ring is broken');
    fail('again');
    await settled();
    expect([back(), calls]).toEqual([XenbusStateClosed, ['connect', 'disconnect']]);
    expect(host.read(ERROR)).toBe('22 the ring is broken');
  });

  it('of a connection that is over counts no more', async () => {
    await connect();
    const old = fail;
    await front(XenbusStateClosed);
    await front(XenbusStateInitialising);
    await connect();
    old('late');
    await settled();
    expect(back()).toBe(XenbusStateConnected);
  });

  it('is cut to a length, and written once in the log', async () => {
    refusal = new XennerError('EFRONTEND', 'x'.repeat(10_000));
    for (let i = 0; i < 5; i++) {
      await front(XenbusStateInitialised);
      await front(XenbusStateInitialising);
    }
    await front(XenbusStateInitialised);
    expect(host.read(ERROR)?.length).toBe(512);
    expect(warnings.length).toBe(1);
  });
});

describe('unplugged', () => {
  it('at once when no front end is there', async () => {
    await device.unplug(60_000);
    expect([host.exists(BACK), host.exists(FRONT)]).toEqual([false, false]);
  });

  it('when the front end has closed', async () => {
    await connect();
    const unplugged = device.unplug(60_000);
    await settled();
    expect([host.read(`${BACK}/online`), back(), calls]).toEqual(['0', XenbusStateClosing, ['connect']]);
    await front(XenbusStateClosing);
    expect(host.exists(BACK)).toBe(true);
    await front(XenbusStateClosed);
    await unplugged;
    expect([host.exists(BACK), host.exists(FRONT), calls.at(-1)]).toEqual([false, false, 'disconnect']);
    expect(host.exists(`/libxl/${DOMID}/device/vbd/${DEVID}`)).toBe(false);
  });

  it('late, when the guest did not let go in time', async () => {
    await connect();
    await expect(device.unplug(1)).rejects.toMatchObject({ code: 'EDEVICE_IN_USE' });
    expect([host.exists(BACK), calls]).toEqual([true, ['connect']]);
    await front(XenbusStateClosed);
    await device.removed;
    expect(host.exists(BACK)).toBe(false);
    await device.unplug(1);
  });

  it('by force, when the guest does not let go at all', async () => {
    await connect();
    await expect(device.unplug(1)).rejects.toMatchObject({ code: 'EDEVICE_IN_USE' });
    await device.close();
    await device.removed;
    expect([host.exists(BACK), host.exists(FRONT), calls.at(-1)]).toEqual([false, false, 'disconnect']);
  });

  it('by a toolstack that writes the nodes itself, as libxl', async () => {
    await connect();
    host.transaction((view) => {
      view.write(`${BACK}/online`, 0);
      view.write(`${BACK}/state`, XenbusStateClosing);
    });
    await front(XenbusStateClosing);
    await front(XenbusStateClosed);
    await device.removed;
    expect(host.exists(BACK)).toBe(false);
  });
});

describe('closed', () => {
  it('while it connects, it lets go afterwards', async () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    await front(XenbusStateInitialised);
    const closing = device.close();
    await settled();
    expect(calls).toEqual(['connect']);
    open();
    await closing;
    expect([calls, host.exists(BACK)]).toEqual([['connect', 'disconnect'], false]);
  });

  it('twice, it leaves a new device of that name alone', async () => {
    await device.close();
    const second = add();
    await device.close();
    expect(host.exists(BACK)).toBe(true);
    await second.close();
  });

  it('hears nothing any more', async () => {
    await device.suspend();
    await front(XenbusStateInitialised);
    expect([calls, back()]).toEqual([[], XenbusStateInitWait]);
  });
});

it('suspended with its guest and restored, it goes on without a change of the nodes', async () => {
  await connect();
  await device.suspend();
  expect([back(), calls]).toEqual([XenbusStateConnected, ['connect', 'disconnect']]);
  store = Xenstore.restore(new Saved(JSON.parse(JSON.stringify(store.save())) as Json, 'store'));
  host = store.client();
  guest = store.client(DOMID);
  const heard: string[] = [];
  const watch = guest.watch(BACK, (path) => heard.push(path));
  await settled();
  heard.length = 0;
  device = add({ restored: true });
  await settled();
  expect([back(), calls, heard]).toEqual([XenbusStateConnected, ['connect', 'disconnect', 'connect'], []]);
  expect(nodes.get('ring-ref')).toBe('8');
  watch.close();
  await front(XenbusStateClosed);
  expect(back()).toBe(XenbusStateClosed);
});
