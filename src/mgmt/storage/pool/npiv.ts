/** NPIV: host bus adapters of Fibre Channel that have virtual ones (vHBAs), each with names of its own in the world. */
import { join } from 'node:path';
import type { PoolAdapter } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { attribute, hostByWwn, hostNumbers, setAttribute } from './scsi-host.js';

type FcAdapter = PoolAdapter & { readonly type: 'fc_host' };

/** A Fibre Channel host, as sysfs describes it; names are sixteen hexadecimal digits. */
export interface FcHost {
  /** libvirt's: scsi_host5. */
  readonly name: string;
  readonly wwnn: string;
  readonly wwpn: string;
  readonly fabricWwn: string | undefined;
  /** Online, Linkdown, ... */
  readonly state: string | undefined;
  /** Undefined: it can have no virtual ones. */
  readonly vports: { readonly max: number; readonly inUse: number } | undefined;
}

/** @param sys where sysfs is */
export function listFcHosts(sys = '/sys'): FcHost[] {
  return hostNumbers(sys, 'fc_host').flatMap((number) => {
    const of = (name: string) => attribute(sys, 'class/fc_host', `host${number}`, name);
    const wwn = (name: string) => of(name)?.replace(/^0x/, '');
    const [wwnn, wwpn] = [wwn('node_name'), wwn('port_name')];
    // It vanished.
    if (wwnn === undefined || wwpn === undefined) return [];
    const fabricWwn = wwn('fabric_name');
    return [
      {
        name: `scsi_host${number}`,
        wwnn,
        wwpn,
        fabricWwn,
        state: of('port_state'),
        vports: vportsOf(sys, number),
      },
    ];
  });
}

/** Older drivers have these files with the SCSI host (virVHBAIsVportCapable). */
function operationsOf(sys: string, number: number): string | undefined {
  return ['class/fc_host', 'class/scsi_host']
    .map((kind) => join(sys, kind, `host${number}`))
    .find((folder) => attribute(folder, 'max_npiv_vports') !== undefined);
}

function vportsOf(sys: string, number: number): FcHost['vports'] {
  const folder = operationsOf(sys, number);
  if (folder === undefined) return undefined;
  return {
    max: Number(attribute(folder, 'max_npiv_vports')),
    inUse: Number(attribute(folder, 'npiv_vports_inuse') ?? 0),
  };
}

const canHaveMore = ({ state, vports }: FcHost) =>
  state === 'Online' && vports !== undefined && vports.inUse < vports.max;

/**
 * Makes the virtual adapter, unless there is one of these names. What it makes is managed: it goes with the pool that it is for.
 * @throws PoolError VIR_ERR_CONFIG_UNSUPPORTED: its parent cannot have one; VIR_ERR_SYSTEM_ERROR
 */
export function createVport(sys: string, adapter: FcAdapter): FcAdapter {
  const { wwnn, wwpn } = adapter;
  const hosts = listFcHosts(sys);
  if (hostByWwn(sys, wwnn, wwpn) !== undefined) return adapter;
  const parent =
    adapter.parent === undefined
      ? hosts.find(canHaveMore)
      : hosts.find(({ name }) => name === adapter.parent);
  if (parent === undefined || !canHaveMore(parent))
    throw new PoolError(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `${quoted(adapter.parent ?? 'no adapter of this host')} can have a virtual adapter`,
      "'xenner nodedev-list --cap vports' shows those that can",
    );
  operate(sys, parent.name, 'vport_create', adapter);
  return { ...adapter, parent: parent.name, managed: true };
}

/** What is gone already is no failure. */
export function deleteVport(sys: string, { wwnn, wwpn, parent }: FcAdapter): void {
  if (hostByWwn(sys, wwnn, wwpn) === undefined) return;
  if (parent === undefined)
    throw new PoolError(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `whose virtual adapter ${wwpn}:${wwnn} is, is not known`,
    );
  operate(sys, parent, 'vport_delete', { wwnn, wwpn });
}

/** Linux, Documentation/scsi/scsi_fc_transport.rst. */
function operate(
  sys: string,
  parent: string,
  operation: 'vport_create' | 'vport_delete',
  { wwnn, wwpn }: Pick<FcAdapter, 'wwnn' | 'wwpn'>,
): void {
  const folder = operationsOf(sys, Number(parent.replace(/^scsi_host/, '')));
  if (folder === undefined)
    throw new PoolError('VIR_ERR_CONFIG_UNSUPPORTED', `${quoted(parent)} has no virtual adapters`);
  setAttribute(`${wwpn}:${wwnn}`, folder, operation);
}
