/** A store with clients of the kinds that there are, and what they hear. */
import { Client } from '../../../src/xenner/xenstore/client.js';
import { XenstoreError } from '../../../src/xenner/xenstore/errors.js';
import { Xenstore } from '../../../src/xenner/xenstore/index.js';

export const GUEST = 5;

export interface Listener {
  readonly client: Client;
  /** `path token`, in order; taking them empties the list. */
  heard(): string[];
  /** Its first event is taken. */
  watch(path: string, token: string): void;
}

export function listen(store: Xenstore, domid: number): Listener {
  const events: string[] = [];
  const client = new Client(store, domid, {
    event: (path, token) => events.push(`${path} ${token}`),
    queuedBytes: 0,
  });
  const watch = (path: string, token: string) => {
    client.watch(path, token);
    events.pop();
  };
  return { client, heard: () => events.splice(0), watch };
}

/** The host, and guests 5 and 6 with homes as the toolstack makes them and a `data` node of their own. */
export function storeWithGuests() {
  const store = new Xenstore();
  const host = listen(store, 0);
  for (const domid of [GUEST, GUEST + 1]) {
    const home = `/local/domain/${domid}`;
    host.client.mkdir(home);
    host.client.setPermissions(home, ['n0', `r${domid}`]);
    host.client.mkdir(`${home}/data`);
    host.client.setPermissions(`${home}/data`, [`n${domid}`]);
  }
  return { store, host, guest: listen(store, GUEST), other: listen(store, GUEST + 1) };
}

/** What a call gives: its result, or the name of the error. */
export function outcome(act: () => unknown): unknown {
  try {
    const result = act();
    return Buffer.isBuffer(result) ? result.toString('latin1') : (result ?? 'OK');
  } catch (error) {
    if (error instanceof XenstoreError) return error.code;
    throw error;
  }
}

/** Every node as `path=value(permissions)`. */
export function contents(store: Xenstore): string[] {
  return [...store.tree.walk()].map(
    ([path, { value, permissions }]) =>
      `${path}=${value.toString('latin1')}(${permissions.map(({ domid, mode }) => `${'nrwb'[mode]}${domid}`).join(',')})`,
  );
}
