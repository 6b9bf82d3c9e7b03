/** What a guest's driver has written into its folder of xenstore, device/vif/N, before it says that it is ready. */
import { XennerError } from '../../../base/errors.js';
import { MAX_NET_QUEUES } from '../../../base/limits.js';
import type { Offloads } from './net-port.js';

export interface QueueNodes {
  readonly txRingRef: number;
  readonly rxRingRef: number;
  /** The same port twice, unless the front end has split them. */
  readonly txPort: number;
  readonly rxPort: number;
}

export interface FrontEnd {
  readonly queues: readonly QueueNodes[];
  /** What it takes. */
  readonly offloads: Offloads;
  readonly scatterGather: boolean;
  /** It notifies when it has offered pages. Otherwise it has to be asked. */
  readonly notifiesRx: boolean;
  readonly multicastControl: boolean;
}

/** @throws XennerError EFRONTEND: what stands there is no front end that can be served */
export function parseFrontEnd(nodes: ReadonlyMap<string, string>): FrontEnd {
  const flag = (name: string, missing = false) => {
    const text = nodes.get(name);
    return text === undefined ? missing : parseNumber(name, text) !== 0;
  };
  if (!flag('request-rx-copy')) {
    throw refuse(
      'request-rx-copy is not 1: the driver takes packets by exchanging pages only',
      'use a newer kernel',
    );
  }
  const scatterGather = flag('feature-sg');
  return {
    queues: parseQueues(nodes),
    offloads: {
      checksum4: !flag('feature-no-csum-offload'),
      checksum6: flag('feature-ipv6-csum-offload'),
      // A packet of many segments does not fit into one page.
      tcpv4: scatterGather && flag('feature-gso-tcpv4'),
      tcpv6: scatterGather && flag('feature-gso-tcpv6'),
    },
    scatterGather,
    notifiesRx: flag('feature-rx-notify'),
    multicastControl: flag('request-multicast-control'),
  };
}

function parseQueues(nodes: ReadonlyMap<string, string>): readonly QueueNodes[] {
  const text = nodes.get('multi-queue-num-queues');
  const count = text === undefined ? 1 : parseNumber('multi-queue-num-queues', text);
  if (count < 1 || count > MAX_NET_QUEUES)
    throw refuse(`multi-queue-num-queues is ${count}, of 1 to ${MAX_NET_QUEUES}`);
  // One queue stands where it stood before there were several.
  return Array.from({ length: count }, (_, i) => parseQueue(nodes, count === 1 ? '' : `queue-${i}/`));
}

function parseQueue(nodes: ReadonlyMap<string, string>, folder: string): QueueNodes {
  const number = (name: string) => {
    const text = nodes.get(`${folder}${name}`);
    if (text === undefined) throw refuse(`${folder}${name} is missing`);
    return parseNumber(`${folder}${name}`, text);
  };
  const isSplit = nodes.has(`${folder}event-channel-tx`);
  return {
    txRingRef: number('tx-ring-ref'),
    rxRingRef: number('rx-ring-ref'),
    txPort: number(isSplit ? 'event-channel-tx' : 'event-channel'),
    rxPort: number(isSplit ? 'event-channel-rx' : 'event-channel'),
  };
}

/** An unsigned number of 32 bits, as xenbus writes them. */
function parseNumber(name: string, text: string): number {
  const value = /^\d{1,10}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value < 2 ** 32)) throw refuse(`${name} is no number: ${JSON.stringify(text.slice(0, 40))}`);
  return value;
}

function refuse(message: string, next?: string): XennerError {
  return new XennerError('EFRONTEND', message, next);
}
