/** A stream between this process and a child of it. */
import { Socket } from 'node:net';
import { loadAddon } from './addon.js';

export interface SocketPair {
  /** Owns its descriptor. */
  readonly ours: Socket;
  /** The descriptor that the child is to have; to be closed here when it has it. */
  readonly theirs: number;
}

/** @param bytes that each end may write before the other reads; without CAP_NET_ADMIN no more than net.core.wmem_max */
export function socketPair(bytes: number): SocketPair {
  const [fd, theirs] = loadAddon().socketPair(bytes);
  return { ours: new Socket({ fd }), theirs };
}
