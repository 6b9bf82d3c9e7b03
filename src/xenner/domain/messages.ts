/** What a domain's two threads tell each other, apart from event bits and rings. */
import type { MessagePort } from 'node:worker_threads';
import type { Gpa } from '../../kvm/index.js';
import type { EventAddresses } from '../event-line.js';
import type { GrantFrames } from '../grants/grant-entries.js';
import type { SavedMachine } from '../save/save-file.js';
import type { CompleteConfig } from './config.js';
import type { CrashReport } from './crash.js';
import type { Order } from './orders.js';

/** In WorkerInput.control. */
export const CONTROL_STOP = 1;
export const CONTROL_ORDERS = 2;

/** The first message to the vCPU thread. */
export interface WorkerInput {
  readonly config: CompleteConfig;
  /** Woken when the guest notifies the port of its console, or of its xenstore. */
  readonly consoleNotifier: number;
  readonly storeNotifier: number;
  /** Ports raised by back ends: see EventInbox. */
  readonly inbox: SharedArrayBuffer;
  /** One word of CONTROL_*: end the guest; there are OrderMessages. */
  readonly control: SharedArrayBuffer;
  /** Undefined: the guest starts anew. */
  readonly saved: SavedMachine | undefined;
  /** A debugger's requests, if there is to be one. */
  readonly debugPort: MessagePort | undefined;
  /** See ExitCounts. */
  readonly exits: SharedArrayBuffer;
}

/** To the vCPU thread, which is then kicked. */
export interface OrderMessage {
  readonly id: number;
  readonly order: Order;
}

/** An order was obeyed, or could not be. */
export interface AnswerMessage {
  readonly type: 'answer';
  readonly id: number;
  readonly error: FailedMessage | undefined;
}

/** Sent once, before the guest's first instruction. */
export interface ReadyMessage {
  readonly type: 'ready';
  readonly engine: string;
  readonly why: string;
  readonly memoryId: number;
  /** For `kick`. */
  readonly engineId: number;
  /** Where back ends can raise ports themselves. */
  readonly line: { readonly id: number; readonly addresses: EventAddresses } | undefined;
  /** See WrittenFrames. */
  readonly codeMarks: SharedArrayBuffer | undefined;
  readonly domid: number;
  /** The guest's time now: 0, or what it was when it was saved. */
  readonly systemNs: number;
  /** Where the monitor's image is. */
  readonly monitor: Gpa;
  readonly storeRing: Gpa;
  readonly storePort: number;
  readonly consoleRing: Gpa;
  readonly consolePort: number;
  /** For HostGrants. */
  readonly nrPages: number;
  readonly pageInfo: Gpa;
  readonly grantFrames: GrantFrames;
}

/** Text of the console_io hypercall. */
export interface ConsoleIoMessage {
  readonly type: 'console-io';
  readonly text: Uint8Array;
}

/** Sent last. The thread keeps the memory open until it is told `release`. */
export interface EndMessage {
  readonly type: 'end';
  readonly reason: EndReason;
  readonly crash: CrashReport | undefined;
}

/** The domain could not be built, or the hypervisor failed. */
export interface FailedMessage {
  readonly type: 'failed';
  readonly code: string;
  readonly message: string;
  readonly next: string | undefined;
}

export type WorkerMessage = ReadyMessage | ConsoleIoMessage | AnswerMessage | EndMessage | FailedMessage;

/** SHUTDOWN_* of public/sched.h by name; `destroyed` and `saved` from outside. */
export type EndReason =
  | ShutdownName
  | 'destroyed'
  /** It goes on where the save file is restored. */
  | 'saved';
type ShutdownName = 'poweroff' | 'reboot' | 'suspend' | 'crash' | 'watchdog' | 'soft_reset';

/** By SHUTDOWN_* number. A reason without a name counts as a crash. */
export const SHUTDOWN_NAMES: readonly EndReason[] = [
  'poweroff',
  'reboot',
  'suspend',
  'crash',
  'watchdog',
  'soft_reset',
];
