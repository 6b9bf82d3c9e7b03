/** The vCPU thread of one domain: builds it, runs it, tells how it ended. */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { XennerError } from '../../base/errors.js';
import { gpa } from '../../kvm/index.js';
import { EventInbox } from '../event-inbox.js';
import { PAGE } from '../monitor/frames.js';
import { crashReport } from './crash.js';
import { ExitCounts } from './exit-counts.js';
import { type DomainEnd, Machine, type MachineHost } from './machine.js';
import {
  CONTROL_ORDERS,
  type EndMessage,
  type FailedMessage,
  type OrderMessage,
  SHUTDOWN_NAMES,
  type WorkerInput,
  type WorkerMessage,
} from './messages.js';

const port = parentPort!;

function tell(message: WorkerMessage): void {
  port.postMessage(message);
}

function failure(error: unknown): FailedMessage {
  if (error instanceof XennerError) {
    // `next` is part of the message already.
    return { type: 'failed', code: error.code, message: error.message, next: undefined };
  }
  const { code, message, stack } = error as NodeJS.ErrnoException;
  // A host call that failed has a code; anything else is our own bug and needs its place.
  return {
    type: 'failed',
    code: code ?? 'EINTERNAL',
    message: code === undefined ? (stack ?? message) : message,
    next: undefined,
  };
}

function ending(machine: Machine, end: DomainEnd): EndMessage {
  switch (end.kind) {
    case 'saved':
      return { type: 'end', reason: 'saved', crash: undefined };
    case 'stopped':
      return { type: 'end', reason: 'destroyed', crash: undefined };
    case 'shutdown': {
      const reason = SHUTDOWN_NAMES[end.reason];
      if (reason !== undefined && reason !== 'crash') return { type: 'end', reason, crash: undefined };
      const why = reason ? 'the guest reported a crash' : `the guest ended itself for reason ${end.reason}`;
      return { type: 'end', reason: 'crash', crash: crashReport(machine, why, end.vcpu) };
    }
    case 'crash':
      return { type: 'end', reason: 'crash', crash: crashReport(machine, end.why, end.vcpu) };
  }
}

/** This thread has no event loop while the guest runs. */
function takeOrders(control: Int32Array): OrderMessage[] {
  if ((Atomics.and(control, 0, ~CONTROL_ORDERS) & CONTROL_ORDERS) === 0) return [];
  const orders: OrderMessage[] = [];
  for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port))
    orders.push(next.message);
  return orders;
}

/** Of a guest that has ended. */
function autopsy(machine: Machine, { id, order }: OrderMessage): void {
  try {
    if (order.kind !== 'dump-core') throw new XennerError('EENDED', 'the domain has ended');
    machine.dumpCore(order.path);
    tell({ type: 'answer', id, error: undefined });
  } catch (error) {
    tell({ type: 'answer', id, error: failure(error) });
  }
}

function main(input: WorkerInput): void {
  const control = new Int32Array(input.control);
  const host: MachineHost = {
    inbox: new EventInbox(input.inbox),
    control,
    exits: new ExitCounts(input.exits),
    consoleNotifier: input.consoleNotifier,
    storeNotifier: input.storeNotifier,
    consoleIo: (text) => tell({ type: 'console-io', text }),
    debugPort: input.debugPort,
    orders: () => takeOrders(control),
    answer: ({ id, error }) => tell({ type: 'answer', id, error: error && failure(error) }),
  };
  const machine = new Machine(input.config, host, input.saved);
  // The main thread reads the console's ring to its end before it lets go of the memory.
  port.on('message', (message: OrderMessage | 'release') => {
    if (message !== 'release') {
      autopsy(machine, message);
      return;
    }
    machine.close();
    port.close();
  });
  tell({
    type: 'ready',
    engine: machine.choice.engine.name,
    why: machine.choice.why,
    memoryId: machine.memory.id,
    engineId: machine.engineId,
    line: machine.line,
    codeMarks: machine.codeMarks,
    storeRing: gpa(machine.ringPfns.storePfn * PAGE),
    storePort: machine.storePort,
    consoleRing: gpa(machine.ringPfns.consolePfn * PAGE),
    consolePort: machine.consolePort,
    domid: machine.domid,
    systemNs: machine.systemTime(),
    monitor: machine.frames.monitor,
    nrPages: machine.nrPages,
    pageInfo: machine.pageInfo,
    grantFrames: machine.grantFrames,
  });
  machine.log.trace('lifecycle', 'runs', {
    engine: machine.choice.engine.name,
    memoryMiB: input.config.memoryMiB,
  });
  const end = machine.run();
  machine.halt();
  machine.log.trace('lifecycle', 'ended', { kind: end.kind });
  tell(ending(machine, end));
}

port.once('message', (input: WorkerInput) => {
  try {
    main(input);
  } catch (error) {
    tell(failure(error));
  }
});
