/** A domain's nodes: those of libxl, each with the permissions that libxl gives it. */
import { beforeEach, describe, expect, it } from 'vitest';
import { addDevice, removeDevice } from '../../../src/xenner/xenstore/device-nodes.js';
import {
  layoutDomain,
  removeDomain,
  Xenstore,
  type XenstoreHandle,
} from '../../../src/xenner/xenstore/index.js';
import { contents, listen, outcome } from './clients.js';

const DOMAIN = {
  domid: 7,
  name: 'guest',
  uuid: '6d0a2b5e-0d5c-4c2e-9f53-1f3a5f6f2a11',
  memoryKiB: 262144,
  vcpus: 2,
  consoleRingRef: 1027,
  consolePort: 2,
  storeRingRef: 1026,
  storePort: 1,
  kernel: '/boot/vmlinuz',
};

let store: Xenstore;
let handle: XenstoreHandle;

beforeEach(() => {
  store = new Xenstore();
  handle = store.client();
  layoutDomain(handle, DOMAIN);
});

/** Nodes below a path, without it. */
function below(path: string): string[] {
  return contents(store)
    .filter((line) => line.startsWith(`${path}/`))
    .map((line) => line.slice(path.length + 1))
    .sort();
}

const VM = `/vm/${DOMAIN.uuid}`;

describe('a domain', () => {
  it('has a home', () => {
    expect(below('/local/domain/7')).toEqual(
      [
        `vm=${VM}(n0,r7)`,
        'name=guest(n0,r7)',
        'domid=7(n0,r7)',
        'cpu=(n0,r7)',
        'cpu/0=(n0,r7)',
        'cpu/0/availability=online(n0,r7)',
        'cpu/1=(n0,r7)',
        'cpu/1/availability=online(n0,r7)',
        'memory=(n0,r7)',
        'memory/static-max=262144(n0,r7)',
        'memory/target=262144(n0,r7)',
        'memory/videoram=0(n0,r7)',
        'device=(n0,r7)',
        'device/suspend=(n0,r7)',
        'device/suspend/event-channel=(n7)',
        'control=(n0,r7)',
        'control/shutdown=(n7)',
        'control/feature-poweroff=(n7)',
        'control/feature-reboot=(n7)',
        'control/feature-suspend=(n7)',
        'control/sysrq=(n7)',
        'control/platform-feature-multiprocessor-suspend=1(n0,r7)',
        'control/platform-feature-xs_reset_watches=1(n0,r7)',
        'data=(n7)',
        'drivers=(n7)',
        'feature=(n7)',
        'attr=(n7)',
        'error=(n7)',
        'store=(n0,r7)',
        'store/port=1(n0,r7)',
        'store/ring-ref=1026(n0,r7)',
        'console=(n0,r7)',
        'console/backend=/local/domain/0/backend/console/7/0(n0,r7)',
        'console/backend-id=0(n7,r0)',
        'console/limit=1048576(n0,r7)',
        'console/type=xenconsoled(n0,r7)',
        'console/output=pty(n0,r7)',
        'console/tty=(n0,r7)',
        'console/port=2(n0,r7)',
        'console/ring-ref=1027(n0,r7)',
      ].sort(),
    );
  });

  it('has a virtual machine, a console’s back end, and what libxl keeps', () => {
    expect(below(VM).map((line) => line.replace(/^start_time=\d+\.\d\d/, 'start_time=T'))).toEqual([
      'image/kernel=/boot/vmlinuz(n0,r7)',
      'image/ostype=linux(n0,r7)',
      'image=(n0,r7)',
      'name=guest(n0,r7)',
      'start_time=T(n0,r7)',
      `uuid=${DOMAIN.uuid}(n0,r7)`,
    ]);
    expect(below('/local/domain/0/backend')).toEqual([
      'console/7/0/frontend-id=7(n0,r7)',
      'console/7/0/frontend=/local/domain/7/console(n0,r7)',
      'console/7/0/online=1(n0,r7)',
      'console/7/0/protocol=vt100(n0,r7)',
      'console/7/0/state=1(n0,r7)',
      'console/7/0=(n0,r7)',
      'console/7=(n0)',
      'console=(n0)',
    ]);
    expect(below('/libxl/7')).toContain('type=pv(n0)');
  });

  it('reads itself and tells of itself, and no more', () => {
    const { client } = listen(store, 7);
    expect(client.read('vm').toString()).toBe(VM);
    expect(client.read(`${VM}/uuid`).toString()).toBe(DOMAIN.uuid);
    expect(outcome(() => client.write('control/shutdown', Buffer.alloc(0)))).toBe('OK');
    expect(outcome(() => client.write('data/new/node', Buffer.alloc(0)))).toBe('OK');
    for (const path of ['name', 'memory/target', 'new', 'device/vbd/1/state', 'console/port', `${VM}/name`]) {
      expect(
        outcome(() => client.write(path, Buffer.alloc(0))),
        path,
      ).toBe('EACCES');
    }
    expect(outcome(() => client.directory('/libxl/7'))).toBe('EACCES');
  });

  it('goes without a trace, and can come again', () => {
    const empty = contents(new Xenstore());
    addDevice(
      handle,
      { domid: 7, type: 'vbd', devid: 51712 },
      { backend: { state: 1 }, frontend: { state: 1 } },
    );
    const laidOut = contents(store).length;
    layoutDomain(handle, { ...DOMAIN, name: 'again' });
    expect(handle.read('/local/domain/7/name')).toBe('again');
    expect(contents(store).length).toBeLessThan(laidOut);
    removeDomain(handle, DOMAIN);
    for (const path of ['/local', '/vm', '/libxl']) {
      expect(JSON.stringify(below(path))).not.toMatch(/\b7\b/);
      handle.rm(path);
    }
    expect(contents(store)).toEqual(empty);
  });
});

describe('a device', () => {
  const name = { domid: 7, type: 'vbd', devid: 51712 };

  it('has nodes at both ends', () => {
    addDevice(handle, name, {
      backend: { 'frontend-id': 7, state: 1 },
      frontend: { 'backend-id': 0, state: 1 },
      readOnly: { 'virtual-device': 51712 },
    });
    expect(below('/local/domain/7/device/vbd')).toEqual([
      '51712/backend-id=0(n7,r0)',
      '51712/backend=/local/domain/0/backend/vbd/7/51712(n7,r0)',
      '51712/state=1(n7,r0)',
      '51712/virtual-device=51712(n0,r7)',
      '51712=(n7,r0)',
    ]);
    expect(below('/local/domain/0/backend/vbd')).toEqual([
      '7/51712/frontend-id=7(n0,r7)',
      '7/51712/frontend=/local/domain/7/device/vbd/51712(n0,r7)',
      '7/51712/state=1(n0,r7)',
      '7/51712=(n0,r7)',
      '7=(n0)',
    ]);
    expect(handle.read('/libxl/7/device/vbd/51712/backend')).toBe('/local/domain/0/backend/vbd/7/51712');
    expect(outcome(() => listen(store, 7).client.write('device/vbd/51712/ring-ref', Buffer.from('8')))).toBe(
      'OK',
    );
  });

  it('takes empty directories with it, and others not', () => {
    const before = contents(store);
    addDevice(handle, name, { backend: { state: 1 }, frontend: { state: 1 } });
    addDevice(handle, { ...name, devid: 1 }, { backend: { state: 1 }, frontend: { state: 1 } });
    removeDevice(handle, name);
    expect(handle.directory('/local/domain/7/device/vbd')).toEqual(['1']);
    removeDevice(handle, { ...name, devid: 1 });
    expect(contents(store)).toEqual(before);
  });
});
