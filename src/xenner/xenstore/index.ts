/** Xenstore: the store itself, and the ways to it. */
export { XenstoreError } from './errors.js';
export { type Closable, XenstoreHandle, type XenstoreView } from './handle.js';
export { Xenstore } from './store.js';
