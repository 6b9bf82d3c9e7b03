/** SCSI hosts and what is behind them, as the kernel shows them in sysfs, whose root may be another folder. */
import { closeSync, constants, openSync, readdirSync, readFileSync, realpathSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolAdapter } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';

/** Of scsi/scsi_proto.h: disks, CD-ROMs. */
const DISK = '0';
const ROM = '5';

export interface LogicalUnit {
  /** Without the host, whose number the kernel gives as it likes. */
  readonly name: string;
  /** The kernel's: sda. */
  readonly block: string;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? '';

/** Undefined: there is no such file, or nothing in it. */
export function attribute(...path: readonly string[]): string | undefined {
  try {
    return readFileSync(join(...path), 'latin1').trim() || undefined;
  } catch (error) {
    if (['ENOENT', 'ENODEV', 'ENXIO', 'EINVAL', 'EIO', 'ENOTDIR'].includes(codeOf(error))) return undefined;
    throw systemError(`cannot read ${quoted(join(...path))}`, error);
  }
}

/** Empty where there is no such folder. */
export function namesIn(...path: readonly string[]): string[] {
  try {
    return readdirSync(join(...path));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENODEV'].includes(codeOf(error))) return [];
    throw systemError(`cannot read dir ${quoted(join(...path))}`, error);
  }
}

/** @throws PoolError VIR_ERR_SYSTEM_ERROR: EPERM for who is not root, ENODEV where it vanished */
export function setAttribute(text: string, ...path: readonly string[]): void {
  try {
    // Such files may not be read, not even by root.
    const fd = openSync(join(...path), constants.O_WRONLY);
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw systemError(`cannot write ${quoted(join(...path))}`, error);
  }
}

/** @throws PoolError VIR_ERR_INTERNAL_ERROR: there is none */
export function hostOfAdapter(sys: string, adapter: PoolAdapter): number {
  const host =
    adapter.type === 'fc_host' ? hostByWwn(sys, adapter.wwnn, adapter.wwpn) : scsiHost(sys, adapter);
  if (host !== undefined) return host;
  const what =
    adapter.type === 'fc_host'
      ? `with wwnn='${adapter.wwnn}', wwpn='${adapter.wwpn}'`
      : quoted(adapter.name ?? '');
  throw new PoolError('VIR_ERR_INTERNAL_ERROR', `there is no SCSI host ${what}`);
}

function scsiHost(sys: string, adapter: PoolAdapter & { type: 'scsi_host' }): number | undefined {
  if (adapter.name !== undefined) {
    const number = Number(/^(?:scsi_)?host(\d{1,9})$/.exec(adapter.name)?.[1]);
    return hostNumbers(sys).find((each) => each === number);
  }
  const { address, uniqueId } = adapter.parentAddress!;
  return hostNumbers(sys).find((number) => {
    const folder = join(sys, 'class/scsi_host', `host${number}`);
    return attribute(folder, 'unique_id') === `${uniqueId}` && realpathSync(folder).includes(`/${address}/`);
  });
}

export function hostNumbers(sys: string, kind: 'scsi_host' | 'fc_host' = 'scsi_host'): number[] {
  const numbers = namesIn(sys, 'class', kind).map((name) => Number(/^host(\d{1,9})$/.exec(name)?.[1]));
  return numbers.filter((number) => Number.isInteger(number)).sort((a, b) => a - b);
}

/** As names of the world: sixteen hexadecimal digits. */
export function hostByWwn(sys: string, wwnn: string, wwpn: string): number | undefined {
  const has = (number: number, name: string) =>
    attribute(sys, 'class/fc_host', `host${number}`, name)?.replace(/^0x/, '');
  return hostNumbers(sys, 'fc_host').find(
    (number) => has(number, 'node_name') === wwnn && has(number, 'port_name') === wwpn,
  );
}

/** Looks on all channels for all targets and units (Linux, Documentation/scsi/scsi_mid_low_api.rst). */
export function rescanHost(sys: string, host: number): void {
  setAttribute('- - -', sys, 'class/scsi_host', `host${host}`, 'scan');
}

/** In the order of their addresses. One that vanishes meanwhile is left out. */
export function logicalUnits(sys: string, host: number): LogicalUnit[] {
  const addresses = namesIn(sys, 'bus/scsi/devices')
    .map((name) => /^(\d+):(\d+):(\d+):(\d+)$/.exec(name))
    .filter((match) => match !== null && Number(match[1]) === host)
    .map((match) => match!.slice(2).map(Number));
  addresses.sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!);
  return addresses.flatMap((address) => {
    const folder = join(sys, 'bus/scsi/devices', [host, ...address].join(':'));
    const [block] = namesIn(folder, 'block');
    const isDisk = [DISK, ROM].includes(attribute(folder, 'type') ?? '');
    return isDisk && block !== undefined ? [{ name: `unit:${address.join(':')}`, block }] : [];
  });
}
