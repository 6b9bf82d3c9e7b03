/** The guest's end of a xenstore ring, which does as Linux's xs_wire does, or anything else. */
import { type Gpa, type GuestMemory, gpa } from '../../../src/kvm/index.js';
import { XENSTORE_RING_SIZE, xenstore_domain_interface } from '../../../src/xenner/abi/xs-wire.js';
import type { Message } from '../../../src/xenner/xenstore/wire.js';
import { MessageReader } from '../../../src/xenner/xenstore/wire.js';

export class GuestRing {
  readonly #reader = new MessageReader();

  constructor(
    private readonly memory: GuestMemory,
    private readonly ring: Gpa,
  ) {}

  get(member: string): number {
    return this.memory.readU32(this.#at(member));
  }

  set(member: string, value: number): void {
    this.memory.writeU32(this.#at(member), value >>> 0);
  }

  /** Writes as many of the bytes as there is room for; returns how many. */
  write(bytes: Uint8Array): number {
    const producer = this.get('req_prod');
    const room = XENSTORE_RING_SIZE - ((producer - this.get('req_cons')) >>> 0);
    const count = Math.min(room, bytes.length);
    for (let i = 0; i < count; i++) {
      this.memory.writeU8(gpa(this.#at('req') + ((producer + i) % XENSTORE_RING_SIZE)), bytes[i]!);
    }
    this.set('req_prod', producer + count);
    return count;
  }

  /** Takes at most `limit` bytes, and gives the messages that they complete. */
  read(limit = XENSTORE_RING_SIZE): Message[] {
    const found: Message[] = [];
    const producer = this.get('rsp_prod');
    let consumer = this.get('rsp_cons');
    for (let left = limit; left > 0 && consumer !== producer; left--) {
      const byte = this.memory.readU8(gpa(this.#at('rsp') + (consumer % XENSTORE_RING_SIZE)));
      const message = this.#reader.feed(Uint8Array.of(byte));
      if (message !== undefined) found.push(message);
      consumer = (consumer + 1) >>> 0;
    }
    this.set('rsp_cons', consumer);
    return found;
  }

  #at(member: string): Gpa {
    return gpa(this.ring + xenstore_domain_interface.offsetof(member));
  }
}
