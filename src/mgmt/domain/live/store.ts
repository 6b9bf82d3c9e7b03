/** A live domain's xenstore, looked into by its own process. */
import type { Domain } from '../../../xenner/domain/domain.js';
import type { XenstoreHandle } from '../../../xenner/xenstore/index.js';

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
