/** What the toolstack writes of a domain before it starts: as libxl does for a PV guest (libxl_create.c, libxl_dom.c). */
import { XenbusStateInitialising } from '../abi/xenbus.js';
import { addDevice, writeAll } from './device-nodes.js';
import type { XenstoreHandle, XenstoreView } from './handle.js';
import { homeOf } from './path.js';

export interface DomainDescription {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly memoryKiB: number;
  readonly vcpus: number;
  /** Frame numbers and event channel ports of the two rings that every PV guest begins with. */
  readonly consoleRingRef: number;
  readonly consolePort: number;
  readonly storeRingRef: number;
  readonly storePort: number;
  /** File names, for whoever looks. */
  readonly kernel?: string;
  readonly ramdisk?: string;
  readonly cmdline?: string;
}

/** LIBXL_XENCONSOLE_LIMIT: bytes that xenconsoled keeps for who does not look. */
const CONSOLE_LIMIT = 1024 * 1024;

/** Nodes that the guest owns, and through which it tells of itself. */
const GUEST_NODES = [
  'device/suspend/event-channel',
  'control/shutdown',
  'control/feature-poweroff',
  'control/feature-reboot',
  'control/feature-suspend',
  'control/sysrq',
  'data',
  'drivers',
  'feature',
  'attr',
  'error',
];

/** All at once, in place of what was there of a domain with this number. Its devices come afterwards. */
export function layoutDomain(handle: XenstoreHandle, domain: DomainDescription): void {
  handle.transaction((view) => {
    clear(view, domain);
    writeHome(view, domain);
    writeVm(view, domain);
    writeAll(view, `/libxl/${domain.domid}`, { type: 'pv' });
    writeConsole(view, domain);
  });
}

/** The domain is no more; what it owned went with store.release(). */
export function removeDomain(
  handle: XenstoreHandle,
  domain: Pick<DomainDescription, 'domid' | 'uuid'>,
): void {
  handle.transaction((view) => clear(view, domain));
}

function clear(view: XenstoreView, { domid, uuid }: Pick<DomainDescription, 'domid' | 'uuid'>): void {
  for (const path of [homeOf(domid), `/vm/${uuid}`, `/libxl/${domid}`]) view.rm(path);
  for (const type of view.directory('/local/domain/0/backend') ?? []) {
    view.rm(`/local/domain/0/backend/${type}/${domid}`);
  }
}

function makeNode(view: XenstoreView, path: string, perms: readonly string[]): void {
  view.mkdir(path);
  view.setPerms(path, perms);
}

function writeHome(view: XenstoreView, domain: DomainDescription): void {
  const home = homeOf(domain.domid);
  // Everything else that the host writes here inherits this.
  makeNode(view, home, ['n0', `r${domain.domid}`]);
  for (const name of ['cpu', 'memory', 'device', 'control']) view.mkdir(`${home}/${name}`);
  for (const name of GUEST_NODES) makeNode(view, `${home}/${name}`, [`n${domain.domid}`]);
  writeAll(view, home, {
    vm: `/vm/${domain.uuid}`,
    name: domain.name,
    domid: domain.domid,
    'control/platform-feature-multiprocessor-suspend': 1,
    'control/platform-feature-xs_reset_watches': 1,
    'memory/static-max': domain.memoryKiB,
    'memory/target': domain.memoryKiB,
    'memory/videoram': 0,
    'store/port': domain.storePort,
    'store/ring-ref': domain.storeRingRef,
  });
  for (let i = 0; i < domain.vcpus; i++) view.write(`${home}/cpu/${i}/availability`, 'online');
}

function writeVm(view: XenstoreView, domain: DomainDescription): void {
  const path = `/vm/${domain.uuid}`;
  makeNode(view, path, ['n0', `r${domain.domid}`]);
  writeAll(view, path, {
    uuid: domain.uuid,
    name: domain.name,
    'image/ostype': 'linux',
    start_time: (Date.now() / 1000).toFixed(2),
  });
  for (const what of ['kernel', 'ramdisk', 'cmdline'] as const) {
    const value = domain[what];
    if (value !== undefined) view.write(`${path}/image/${what}`, value);
  }
}

/** libxl__device_console_add(): the first console has no state machine, and the guest changes nothing there. */
function writeConsole(view: XenstoreView, { domid, consolePort, consoleRingRef }: DomainDescription): void {
  addDevice(
    view,
    { domid, type: 'console', devid: 0 },
    {
      backend: { 'frontend-id': domid, online: 1, state: XenbusStateInitialising, protocol: 'vt100' },
      frontend: { 'backend-id': 0 },
      readOnly: {
        limit: CONSOLE_LIMIT,
        type: 'xenconsoled',
        output: 'pty',
        tty: '',
        port: consolePort,
        'ring-ref': consoleRingRef,
      },
    },
  );
}
