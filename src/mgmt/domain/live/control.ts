/**
 * What a live domain can be asked: lines of JSON over its folder's control socket.
 * Request: {"version":1,"id":7,"command":"pause","arguments":{}}. Answer: {"id":7,"result":...} or {"id":7,"error":{...}}.
 */

import type { VcpuUsage } from '../../../xenner/domain/vcpu-usage.js';
import type { ImageCounters } from '../../storage/counted-image.js';
import type { JsonObject } from '../config/json.js';
import type { DomainDefinition } from '../definition.js';
import type { DomainRecord } from './runtime-directory.js';

export const CONTROL_VERSION = 1;
/** Of one line, in either direction; a definition is the longest thing that there is to say. */
export const MAX_CONTROL_LINE_BYTES = 4 * 1024 * 1024;
export const MAX_CONTROL_CLIENTS = 32;
/** Sent without waiting for answers. */
export const MAX_CONTROL_PENDING = 16;

export interface DomainInfo extends DomainRecord {
  /** These are of a guest that runs. */
  readonly engine?: string;
  /** What it sees of the machine. */
  readonly profile?: string;
  /** In xenstore, /local/domain/N: a guest that was restored has the domid that it was saved with. */
  readonly storeDomid?: number;
  /** What it has now, of memoryMiB: the rest it has given back. */
  readonly currentMemoryMiB?: number;
  readonly definition: DomainDefinition;
}

export interface BlockInfo {
  readonly vdev: string;
  readonly devid: number;
  readonly path: string;
  readonly format: string;
  readonly readOnly: boolean;
  /** XenbusState* of the back end; undefined: there is no guest. */
  readonly state: number | undefined;
  /** What the guest says of its first queue; undefined: nothing. */
  readonly eventChannel: number | undefined;
  readonly ringRef: number | undefined;
  /** In its xenstore. */
  readonly backend: string;
}

export interface NicInfo {
  readonly devid: number;
  readonly mac: string;
  /** As in BlockInfo. */
  readonly state: number | undefined;
  /** As in BlockInfo. */
  readonly eventChannel: number | undefined;
  readonly txRingRef: number | undefined;
  readonly rxRingRef: number | undefined;
  readonly backend: string;
  /** For people: `tap vif1.0`, `passt`. */
  readonly port: string;
}

/** What a domain has used since its guest was started. */
export interface UsageInfo {
  readonly vcpus: readonly VcpuUsage[];
  readonly maxMemoryMiB: number;
  /** Of a guest that has ended, or has not begun: what it had, or is to have. */
  readonly currentMemoryMiB: number;
  readonly nics: number;
  /** From the guest's point of view. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly disks: readonly ImageCounters[];
}

export interface StoreNode {
  /** Its path from where the list begins. */
  readonly below: string;
  readonly value: string;
}

/** [what is asked with, what is answered], by command. */
export interface ControlCommands {
  info: [Record<string, never>, DomainInfo];
  usage: [Record<string, never>, UsageInfo];
  pause: [Record<string, never>, null];
  unpause: [Record<string, never>, null];
  /** Answered when nothing is left but the process, which ends. */
  destroy: [Record<string, never>, null];
  shutdown: [{ request: 'poweroff' | 'reboot' }, null];
  /** The next end of the guest. */
  wait: [Record<string, never>, string];
  sysrq: [{ key: string }, null];
  'mem-set': [{ memoryMiB: number }, null];
  'vcpu-set': [{ count: number }, null];
  rename: [{ name: string }, null];
  /** Absolute path, as the next one. Also of a guest that has ended and is preserved. */
  'dump-core': [{ path: string }, null];
  /** `config`: a definition as libxl writes it, to be kept in the file instead of the domain's own. */
  save: [{ path: string; goOn: boolean; pause: boolean; config?: JsonObject }, null];
  'xenstore-ls': [{ path: string }, readonly StoreNode[]];
  'block-list': [Record<string, never>, readonly BlockInfo[]];
  /** As xl-disk-configuration(5). */
  'block-attach': [{ spec: string; folder: string }, null];
  'block-detach': [{ device: string; force: boolean }, null];
  'network-list': [Record<string, never>, readonly NicInfo[]];
  /** As xl-network-configuration(5). */
  'network-attach': [{ spec: string }, null];
  'network-detach': [{ device: string; force: boolean }, null];
}

export type ControlCommand = keyof ControlCommands;
export type ControlArguments<C extends ControlCommand> = ControlCommands[C][0];
export type ControlResult<C extends ControlCommand> = ControlCommands[C][1];

export interface ControlError {
  readonly code: string;
  /** With what to do about it. */
  readonly message: string;
}

/** Cuts a stream into lines. @throws RangeError when one is longer than it may be */
export class LineReader {
  #rest = '';

  constructor(private readonly maxBytes: number) {}

  feed(text: string): string[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    if ([this.#rest, ...lines].some((line) => line.length > this.maxBytes))
      throw new RangeError('line too long');
    return lines;
  }
}
