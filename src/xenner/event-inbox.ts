/**
 * Ports that other threads want raised. Only the vCPU thread may set event bits: on the soft CPU the guest's locked
 * instructions are not atomic against other threads. So a back end posts its port here and kicks the vCPU, which drains
 * the inbox between two guest instructions.
 *
 * One bit a port, and above them a summary: one bit for each 32-bit word of ports. A poster sets the port first and the
 * summary after; the drainer clears the summary first. So whatever is posted while the inbox is drained is either seen
 * or leaves its summary bit set for the next time.
 *
 * The other way there is one more bit a port: whether the back end there is patient.
 */
import { EVTCHN_2L_NR_CHANNELS } from './abi/event-channel.js';

const PORT_WORDS = EVTCHN_2L_NR_CHANNELS / 32;
const SUMMARY_WORDS = PORT_WORDS / 32;
const PATIENT = SUMMARY_WORDS + PORT_WORDS;

export class EventInbox {
  readonly #words: Int32Array;

  /** @param buffer the inbox of another thread; default: a new one */
  constructor(readonly buffer = new SharedArrayBuffer((PATIENT + PORT_WORDS) * 4)) {
    this.#words = new Int32Array(buffer);
    if (this.#words.length !== PATIENT + PORT_WORDS) throw new RangeError('not the buffer of an EventInbox');
  }

  /**
   * Any thread. Returns whether the port is newly posted: only then need the vCPU be kicked, since whoever posted it
   * before does so, or did.
   * @throws RangeError for what is no port
   */
  post(port: number): boolean {
    if (!Number.isInteger(port) || port < 0 || port >= EVTCHN_2L_NR_CHANNELS) {
      throw new RangeError(`event channel port ${port}`);
    }
    const word = port >>> 5;
    const bit = 1 << (port & 31);
    if ((Atomics.or(this.#words, SUMMARY_WORDS + word, bit) & bit) !== 0) return false;
    Atomics.or(this.#words, word >>> 5, 1 << (word & 31));
    return true;
  }

  /** Any thread: who is behind a port of the guest's rather hears of much at once than of little at a time, or does not any more. */
  setPatient(port: number, patient: boolean): void {
    const word = PATIENT + (port >>> 5);
    if (patient) Atomics.or(this.#words, word, 1 << (port & 31));
    else Atomics.and(this.#words, word, ~(1 << (port & 31)));
  }

  isPatient(port: number): boolean {
    return (Atomics.load(this.#words, PATIENT + (port >>> 5)) & (1 << (port & 31))) !== 0;
  }

  /** The vCPU thread: takes out what was posted. Four loads when there is nothing. */
  drain(visit: (port: number) => void): void {
    for (let i = 0; i < SUMMARY_WORDS; i++) {
      if (Atomics.load(this.#words, i) === 0) continue;
      eachBit(Atomics.exchange(this.#words, i, 0), (bit) => {
        const word = i * 32 + bit;
        eachBit(Atomics.exchange(this.#words, SUMMARY_WORDS + word, 0), (port) => visit(word * 32 + port));
      });
    }
  }
}

function eachBit(bits: number, visit: (bit: number) => void): void {
  for (let rest = bits; rest !== 0; rest &= rest - 1) visit(31 - Math.clz32(rest & -rest));
}
