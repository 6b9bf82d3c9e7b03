/** Network interfaces whose other end is a file of ours. */
import { XennerError } from '../base/errors.js';
import { loadAddon } from './addon.js';
import { createNotifier } from './notifier.js';

/* linux/if_tun.h */
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;

/** Its packets begin with struct virtio_net_hdr, of 10 bytes. */
export interface NetTap {
  readonly name: string;
  /** TUN_F_*: what receive() may bring unfinished. */
  setOffload(flags: number): void;
  /** Whether a tap's interface has a link; a macvtap has the one below it. */
  setCarrier(isUp: boolean): void;
  /**
   * Packets one behind the other, each at a multiple of 8, and their lengths: as many as there are, and as fit where there must be
   * room for the largest, 65,600 bytes. Returns how many.
   */
  receive(into: Uint8Array, lengths: Uint32Array): number;
  /** One packet of at most 64 pieces. False: there is no room. */
  send(pieces: readonly Uint8Array[]): boolean;
  /** Calls back once when there is one of these, also if it is there already. The last call counts. */
  watch(events: { readonly packets?: boolean; readonly room?: boolean }): void;
  /** A tap's interface is gone. Idempotent. */
  close(): void;
}

/**
 * @param path `/dev/net/tun` for a new interface, or a macvtap's `/dev/tapN`
 * @param name of a new interface, at most 15 bytes
 * @param ready on this thread's event loop, after watch()
 * @throws XennerError ETAP
 */
export function openTap(path: string, name: string, ready: () => void): NetTap {
  const notifier = createNotifier(ready);
  try {
    const native = new (loadAddon().NetTap)(path, name, notifier.id);
    return {
      name: native.name,
      setOffload: (flags) => native.setOffload(flags),
      setCarrier: (isUp) => native.setCarrier(isUp),
      receive: (into, lengths) => native.receive(into, lengths),
      send: (pieces) => native.send(pieces),
      watch: ({ packets, room }) => native.watch((packets ? 1 : 0) | (room ? 2 : 0)),
      close: () => {
        native.close();
        notifier.close();
      },
    };
  } catch (cause) {
    notifier.close();
    throw tapError(path, name, cause as NodeJS.ErrnoException);
  }
}

function tapError(path: string, name: string, cause: NodeJS.ErrnoException): XennerError {
  const hints: Record<string, string> = {
    EPERM: 'it takes CAP_NET_ADMIN; a network of the type user needs no privileges',
    EACCES: 'it takes CAP_NET_ADMIN; a network of the type user needs no privileges',
    EBUSY: `the interface ${name} exists already`,
    ENOENT: "there is no such device: load the kernel's module tun",
    ENODEV: "there is no such device: load the kernel's module tun",
  };
  return new XennerError(
    'ETAP',
    `cannot open the tap ${name}: ${cause.message} (${path})`,
    hints[cause.code ?? ''],
    {
      cause,
    },
  );
}
