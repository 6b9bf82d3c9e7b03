/** The monitor's binary, as native/monitor builds it. */
import { readFileSync } from 'node:fs';
import { XennerError } from '../../base/errors.js';
import { builtFile } from '../../base/paths.js';
import type { Gpa, GuestMemory } from '../../kvm/index.js';
import { MONITOR_MAGIC, MONITOR_TEXT_MAX, MONITOR_VA, monitor_header } from './vcpu-area.js';

export interface MonitorImage {
  readonly bytes: Uint8Array;
  /** Linear address of the entry point for a vector; the 256 stand 16 bytes apart. */
  vectorEntry(vector: number): bigint;
  /** Code to copy into every vCPU's block. */
  readonly stub: Uint8Array;
  /** Offset of the CSTAR entry in it. */
  readonly stubCompat: number;
}

export function loadMonitorImage(): MonitorImage {
  const image = parse(readMonitor());
  if (image !== undefined) return image;
  throw new XennerError('EMONITOR', 'build/Release/monitor.bin is damaged', 'run npm run build');
}

/** The one that a saved guest has; undefined: none. The addresses in it are the guest's own affair. */
export function monitorImageIn(memory: GuestMemory, at: Gpa): MonitorImage | undefined {
  return parse(memory.copyOut(at, MONITOR_TEXT_MAX));
}

function parse(bytes: Uint8Array): MonitorImage | undefined {
  const header = monitor_header.decode(bytes);
  if (header.magic !== MONITOR_MAGIC || bytes.length > MONITOR_TEXT_MAX) return undefined;
  const stub = Number(header.stub);
  return {
    bytes,
    vectorEntry: (vector) => MONITOR_VA + header.vectors + BigInt(vector * 16),
    stub: bytes.subarray(stub, stub + Number(header.stub_size)),
    stubCompat: Number(header.stub_compat),
  };
}

function readMonitor(): Uint8Array {
  try {
    return readFileSync(builtFile('monitor.bin'));
  } catch (cause) {
    throw new XennerError('EMONITOR', 'the in-guest monitor is not built', 'run npm run build', { cause });
  }
}
