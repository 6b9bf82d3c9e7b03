/** The nodes of a paravirtual device at both of its ends, as libxl lays them out (libxl__device_generic_add). */
import type { XenstoreView } from './handle.js';
import { homeOf, parentOf, type StorePath } from './path.js';

/** Node names and values, in the order in which they are written. */
export type Values = Readonly<Record<string, string | number>>;

export interface DeviceName {
  /** Of the front end. The back end is domain 0. */
  readonly domid: number;
  /** `vbd`, `vif`, ... */
  readonly type: string;
  readonly devid: number;
}

export interface DevicePaths {
  readonly frontend: StorePath;
  readonly backend: StorePath;
  /** What the toolstack keeps for itself. */
  readonly libxl: StorePath;
}

export function devicePaths({ domid, type, devid }: DeviceName): DevicePaths {
  // Console 0 is a special case, of libxl too.
  const frontend = type === 'console' && devid === 0 ? type : `device/${type}/${devid}`;
  return {
    frontend: `${homeOf(domid)}/${frontend}` as StorePath,
    backend: `${homeOf(0)}/backend/${type}/${domid}/${devid}` as StorePath,
    libxl: `/libxl/${domid}/device/${type}/${devid}` as StorePath,
  };
}

export interface DeviceNodes {
  readonly backend: Values;
  /** The guest may change them, as all that it adds. */
  readonly frontend: Values;
  /** At the front end, and not for the guest to change. */
  readonly readOnly?: Values;
}

/** In place of whatever was there. */
export function addDevice(view: XenstoreView, name: DeviceName, nodes: DeviceNodes): void {
  const paths = devicePaths(name);
  const guests = [`n${name.domid}`, 'r0'];
  const hosts = ['n0', `r${name.domid}`];
  for (const path of Object.values(paths)) view.rm(path);
  view.write(`${paths.libxl}/frontend`, paths.frontend);
  view.write(`${paths.libxl}/backend`, paths.backend);
  writeAll(view, paths.libxl, nodes.backend);

  view.mkdir(paths.frontend);
  view.setPerms(paths.frontend, name.type === 'console' && name.devid === 0 ? hosts : guests);
  view.write(`${paths.frontend}/backend`, paths.backend);
  writeAll(view, paths.frontend, nodes.frontend, guests);
  writeAll(view, paths.frontend, nodes.readOnly ?? {}, hosts);

  view.mkdir(paths.backend);
  view.setPerms(paths.backend, hosts);
  view.write(`${paths.backend}/frontend`, paths.frontend);
  writeAll(view, paths.backend, nodes.backend);
}

/** With directories that become empty by that. */
export function removeDevice(view: XenstoreView, name: DeviceName): void {
  for (const path of Object.values(devicePaths(name))) {
    view.rm(path);
    for (let above = parentOf(path); above !== '/' && isEmpty(view, above); above = parentOf(above)) {
      view.rm(above);
    }
  }
}

function isEmpty(view: XenstoreView, path: string): boolean {
  return view.directory(path)?.length === 0;
}

/** Nodes below `path`, with the permissions that they inherit or these. */
export function writeAll(view: XenstoreView, path: string, values: Values, perms?: readonly string[]): void {
  for (const [name, value] of Object.entries(values)) {
    view.write(`${path}/${name}`, value);
    if (perms !== undefined) view.setPerms(`${path}/${name}`, perms);
  }
}
