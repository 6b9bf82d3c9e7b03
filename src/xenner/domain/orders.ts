/**
 * What a running domain's user asks of it: pause, go on, save. For each the vCPUs come to rest first: they stop on their way back
 * to the guest, where nothing of the monitor's is half done, so that memory and registers are all there is to keep. Orders are
 * obeyed one after the other, on the vCPU thread.
 */
import { XennerError } from '../../base/errors.js';
import { type Gpa, gpa } from '../../kvm/index.js';
import { PAGE } from '../monitor/frames.js';
import type { Json } from '../save/saved.js';
import type { HostPorts } from './host-ports.js';
import type { VirtualCpu } from './virtual-cpu.js';

export type Order =
  /** A back end's, to a port that the guest allocated for it. These three wait for nothing. */
  | { readonly kind: 'bind'; readonly port: number; readonly notifier: number }
  | { readonly kind: 'unbind'; readonly notifier: number }
  /** What the guest ran from these frames is not what is in them any more. */
  | { readonly kind: 'written'; readonly mfns: readonly number[] }
  | { readonly kind: 'pause' }
  | { readonly kind: 'unpause' }
  /** `goOn`: the domain runs on; without it, a save that went well is its end. */
  | {
      readonly kind: 'save';
      readonly path: string;
      readonly goOn: boolean;
      /** What Backends.freeze() gave. */
      readonly backends: Json;
      /** Of whoever has it saved, and finds it again in the file. */
      readonly userData: Json;
    }
  /** A core, of a domain that runs on. */
  | { readonly kind: 'dump-core'; readonly path: string };

/** What came of an order. */
export interface Answer {
  readonly id: number;
  readonly error?: XennerError;
}

type BackendOrder = Extract<Order, { kind: 'bind' | 'unbind' | 'written' }>;
type RestOrder = Exclude<Order, BackendOrder>;

export interface OrdersDomain {
  readonly hostPorts: Pick<HostPorts, 'bind' | 'unbind'>;
  readonly vcpus: readonly VirtualCpu[];
  readonly debugger: { readonly busy: boolean } | undefined;
  systemTime(): number;
  arm(deadlineNs: number): void;
  codeWritten(address: Gpa, length: number): void;
  /** Of a domain at rest. @throws XennerError when the file could not be written; there is none then */
  save(path: string, backends: Json, userData: Json): void;
  /** The same. */
  dumpCore(path: string): void;
  endSaved(): void;
}

/** A guest whose monitor works comes to rest at once. */
const REST_TIMEOUT_NS = 10e9;

interface Given {
  readonly id: number;
  readonly order: RestOrder;
}

export class Orders {
  readonly #queue: Given[] = [];
  #paused = false;
  #restWanted = false;
  /** System time. */
  #restDeadline = 0;

  constructor(
    private readonly domain: OrdersDomain,
    private readonly answer: (answer: Answer) => void,
  ) {}

  /** A vCPU that rests stays so. */
  get restWanted(): boolean {
    return this.#restWanted;
  }

  take(id: number, order: Order): void {
    if (order.kind === 'bind' || order.kind === 'unbind' || order.kind === 'written') {
      this.#serve(id, order);
    } else if (this.domain.debugger?.busy) {
      this.answer({ id, error: new XennerError('EDEBUGGED', 'a debugger has the guest', 'detach it first') });
    } else {
      this.#queue.push({ id, order });
    }
  }

  /** Obeys what can be obeyed now. To be called whenever a vCPU has left the guest or something has come from outside. */
  step(): void {
    for (let given = this.#queue[0]; given !== undefined; given = this.#queue[0]) {
      if (given.order.kind !== 'unpause' && !this.#rest()) return;
      this.#queue.shift();
      this.#obey(given);
    }
    if (this.#restWanted && !this.#paused) this.#goOn();
  }

  /** The domain has ended: nothing more is done. */
  end(why: string): void {
    for (const { id } of this.#queue.splice(0)) {
      this.answer({ id, error: new XennerError('EENDED', `the domain has ended: ${why}`) });
    }
  }

  #serve(id: number, order: BackendOrder): void {
    try {
      if (order.kind === 'written')
        for (const mfn of order.mfns) this.domain.codeWritten(gpa(mfn * PAGE), PAGE);
      else if (order.kind === 'bind') this.domain.hostPorts.bind(order.port, order.notifier);
      else this.domain.hostPorts.unbind(order.notifier);
      this.answer({ id });
    } catch (error) {
      this.answer({ id, error: asXennerError(error) });
    }
  }

  #obey({ id, order }: Given): void {
    if (order.kind === 'save' || order.kind === 'dump-core') {
      try {
        if (order.kind === 'save') this.domain.save(order.path, order.backends, order.userData);
        else this.domain.dumpCore(order.path);
      } catch (error) {
        this.answer({ id, error: asXennerError(error) });
        return;
      }
    } else {
      this.#paused = order.kind === 'pause';
    }
    this.answer({ id });
    if (order.kind === 'save' && !order.goOn) {
      this.domain.endSaved();
      this.end('it was saved');
    }
  }

  /** True when all rest. */
  #rest(): boolean {
    const now = this.domain.systemTime();
    if (!this.#restWanted) {
      this.#restWanted = true;
      this.#restDeadline = now + REST_TIMEOUT_NS;
    }
    this.domain.arm(this.#restDeadline);
    // All are asked, not only those up to the first that does not rest.
    if (this.domain.vcpus.filter((vcpu) => !vcpu.rest()).length === 0) return true;
    if (now >= this.#restDeadline) this.#giveUp();
    return false;
  }

  /** Only a guest that wrote into its monitor does not come to rest. */
  #giveUp(): void {
    const error = new XennerError('ENOREST', 'the guest does not come to rest: it has broken its monitor');
    for (const { id } of this.#queue.splice(0)) this.answer({ id, error });
    this.#goOn();
  }

  #goOn(): void {
    this.#restWanted = false;
    for (const vcpu of this.domain.vcpus) vcpu.endRest();
  }
}

/** A guest is not lost for a defect of ours. */
function asXennerError(error: unknown): XennerError {
  if (error instanceof XennerError) return error;
  return new XennerError('EINTERNAL', (error as Error).stack ?? String(error));
}
