/** Xenstore: the store itself, the ways to it, and what a domain finds there. */
export { addDevice, type DeviceName, devicePaths, removeDevice, type Values } from './device-nodes.js';
export { XenstoreError } from './errors.js';
export { type Closable, XenstoreHandle, type XenstoreView } from './handle.js';
export { type RingOptions, XenstoreRing } from './ring.js';
export { XenstoreSocket } from './socket.js';
export { Xenstore } from './store.js';
export { type DomainDescription, layoutDomain, removeDomain } from './toolstack.js';
