/** A live domain's xenstore, looked into by its own process. */
import { XennerError } from '../../../base/errors.js';
import type { Domain } from '../../../xenner/domain/domain.js';
import type { XenstoreHandle } from '../../../xenner/xenstore/index.js';
import type { StoreNode } from './control.js';

/** @param look is told which /local/domain/N is the guest's: there is no other but domain 0's */
export function withStore<T>(domain: Domain, look: (store: XenstoreHandle, domid: number) => T): T {
  const store = domain.xenstore.client();
  try {
    const domid = store.directory('/local/domain')?.find((name) => name !== '0');
    return look(store, Number(domid));
  } finally {
    store.close();
  }
}

/** In the order of the tree, parents first. @throws XennerError ENO_NODE */
export function nodesBelow(store: XenstoreHandle, path: string): StoreNode[] {
  const root = path.replace(/\/+$/, '');
  const nodes: StoreNode[] = [];
  const walk = (below: string) => {
    const children = store.directory(`${root}${below}` || '/');
    if (children === undefined && below === '')
      throw new XennerError('ENO_NODE', `there is no ${JSON.stringify(path.slice(0, 80))} in its xenstore`);
    for (const name of children ?? []) {
      const child = `${below}/${name}`;
      nodes.push({ below: child.slice(1), value: store.read(`${root}${child}`) ?? '' });
      walk(child);
    }
  };
  walk('');
  return nodes;
}

/** Of a device's first queue, as the guest says: it may have several, and one ring of many pages. */
export function firstQueue(store: XenstoreHandle, front: string) {
  return (...names: readonly string[]): number | undefined =>
    names
      .flatMap((name) => [`${front}/${name}`, `${front}/queue-0/${name}`])
      .map((path) => store.readInt(path))
      .find((value) => value !== undefined);
}
