/** Where a guest's network device is plugged in on the host. The back end never sees what is behind it. */

/** Packets that may be handed over unfinished. */
export interface Offloads {
  /** TCP and UDP checksums over IPv4, over IPv6. */
  readonly checksum4: boolean;
  readonly checksum6: boolean;
  /** TCP packets that are still to be cut into segments. */
  readonly tcpv4: boolean;
  readonly tcpv6: boolean;
}

export const NO_OFFLOADS: Offloads = { checksum4: false, checksum6: false, tcpv4: false, tcpv6: false };

/** What a packet lacks, with the meaning that it has in Linux's struct virtio_net_hdr. Offsets count from the packet's first byte. */
export interface Unfinished {
  /** At `start + offset` stands the sum of the pseudo header alone: the checksum over all from `start` on is to be put there. */
  readonly checksum: { readonly start: number; readonly offset: number };
  readonly segments: Segments | undefined;
}

/** To be cut into packets of `headerBytes` and at most `payloadBytes` each. */
export interface Segments {
  readonly type: 'tcpv4' | 'tcpv6';
  readonly headerBytes: number;
  readonly payloadBytes: number;
}

/** An Ethernet frame without its FCS. */
export interface Packet {
  /**
   * One after the other. The first one holds all headers, and is not the guest's memory; what is behind it may be, and may change
   * while it is looked at. Valid during the call only: who keeps a packet copies it.
   */
  readonly pieces: readonly Uint8Array[];
  /** The sum of the pieces' lengths. */
  readonly length: number;
  readonly unfinished: Unfinished | undefined;
  /** The host has found the checksum to be right, or it never left this host. */
  readonly isValidated: boolean;
}

export interface NetReceiver {
  /** What it can take. */
  readonly offloads: Offloads;
  /** Packets for the guest. Returns how many it took; the port keeps the others, and brings no more until resume(). */
  receive(packets: readonly Packet[]): number;
  /** send() takes packets again. */
  drained(): void;
  /** The port has come to its end. */
  failed(error: Error): void;
}

/** Belongs to one device for as long as that exists, and outlives the guest's driver. */
export interface NetPort {
  /** For people: `tap vif1.0`, `passt`. */
  readonly name: string;
  /** What send() takes. */
  readonly offloads: Offloads;
  /** Begins to bring packets. One receiver at a time. Throws a XennerError when the port has come to its end. */
  attach(receiver: NetReceiver): void;
  /** Packets that come from now on are lost. Idempotent. */
  detach(): void;
  /** The receiver has room again. */
  resume(): void;
  /**
   * A packet of the guest's. False: it is taken, but no more should come before drained(). One that cannot be taken is lost, as on
   * a wire.
   */
  send(packet: Packet): boolean;
  /** Idempotent. */
  close(): Promise<void>;
}
