/** What a front end says in its xenstore nodes, which a guest writes: rings, event channels, protocol. */
import { XennerError } from '../../../base/errors.js';
import { MAX_BLOCK_RING_PAGE_ORDER } from '../../../base/limits.js';
import type { DeviceNodeMap as Nodes } from '../xenbus.js';
import { PROTOCOLS, type ProtocolName } from './protocol.js';

export interface QueueParameters {
  readonly ringRefs: readonly number[];
  readonly eventChannel: number;
}

export interface FrontEndParameters {
  readonly protocol: ProtocolName;
  readonly persistent: boolean;
  readonly queues: readonly QueueParameters[];
}

function wrong(node: string, value: string | undefined, expected: string): XennerError {
  const what = value === undefined ? 'is missing' : `is '${value.slice(0, 40)}'`;
  return new XennerError('EFRONTEND', `the block front end's ${node} ${what}, not ${expected}`);
}

function decimal(nodes: Nodes, node: string, max: number): number {
  const value = nodes.get(node);
  if (value === undefined || !/^\d{1,10}$/.test(value) || Number(value) > max)
    throw wrong(node, value, `a number up to ${max}`);
  return Number(value);
}

function optional(nodes: Nodes, node: string, max: number, absent: number): number {
  return nodes.has(node) ? decimal(nodes, node, max) : absent;
}

function queue(nodes: Nodes, prefix: string, pages: number): QueueParameters {
  const ref = (node: string) => decimal(nodes, `${prefix}${node}`, 2 ** 32 - 1);
  // One page goes by either name: Linux's front ends write ring-ref, some others ring-ref0.
  const single = pages === 1 && nodes.has(`${prefix}ring-ref`);
  const ringRefs = single ? [ref('ring-ref')] : Array.from({ length: pages }, (_, i) => ref(`ring-ref${i}`));
  return { ringRefs, eventChannel: ref('event-channel') };
}

/** @throws XennerError EFRONTEND: what is wrong, for the device's error node */
export function frontEndParameters(nodes: Nodes, maxQueues: number): FrontEndParameters {
  const protocol = nodes.get('protocol') ?? 'x86_64-abi';
  if (!(PROTOCOLS as readonly string[]).includes(protocol))
    throw wrong('protocol', protocol, PROTOCOLS.join(' or '));
  const pages = 2 ** optional(nodes, 'ring-page-order', MAX_BLOCK_RING_PAGE_ORDER, 0);
  const nrQueues = optional(nodes, 'multi-queue-num-queues', maxQueues, 1);
  if (nrQueues === 0) throw wrong('multi-queue-num-queues', '0', `a number from 1 to ${maxQueues}`);
  const prefixes = nrQueues === 1 ? [''] : Array.from({ length: nrQueues }, (_, i) => `queue-${i}/`);
  return {
    protocol: protocol as ProtocolName,
    persistent: optional(nodes, 'feature-persistent', 1, 0) === 1,
    queues: prefixes.map((prefix) => queue(nodes, prefix, pages)),
  };
}
