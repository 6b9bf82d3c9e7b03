/** How much of the store one client may have. */
import * as limits from '../../base/limits.js';
import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX } from '../abi/xs-wire.js';

export interface Quota {
  /** Owned by its domain. */
  readonly nodes: number;
  readonly nodeBytes: number;
  readonly permissions: number;
  readonly watches: number;
  readonly transactions: number;
  readonly transactionNodes: number;
  /** Answers that it has not taken yet. */
  readonly outstanding: number;
  /** Of everything together. */
  readonly bytes: number;
  /** For what follows /local/domain/N/. */
  readonly pathLength: number;
}

export const GUEST_QUOTA: Quota = {
  nodes: limits.MAX_XENSTORE_NODES,
  nodeBytes: limits.MAX_XENSTORE_NODE_BYTES,
  permissions: limits.MAX_XENSTORE_PERMISSIONS,
  watches: limits.MAX_XENSTORE_WATCHES,
  transactions: limits.MAX_XENSTORE_TRANSACTIONS,
  transactionNodes: limits.MAX_XENSTORE_TRANSACTION_NODES,
  outstanding: limits.MAX_XENSTORE_OUTSTANDING,
  bytes: limits.MAX_XENSTORE_BYTES,
  pathLength: XENSTORE_REL_PATH_MAX,
};

export const HOST_QUOTA: Quota = {
  nodes: limits.MAX_XENSTORE_HOST_NODES,
  nodeBytes: limits.MAX_XENSTORE_HOST_NODE_BYTES,
  permissions: limits.MAX_XENSTORE_HOST_PERMISSIONS,
  watches: limits.MAX_XENSTORE_HOST_WATCHES,
  transactions: limits.MAX_XENSTORE_HOST_TRANSACTIONS,
  transactionNodes: limits.MAX_XENSTORE_HOST_NODES,
  outstanding: limits.MAX_XENSTORE_OUTSTANDING,
  bytes: limits.MAX_XENSTORE_HOST_BYTES,
  pathLength: XENSTORE_ABS_PATH_MAX,
};
