/** xenner as a library. */
export { XennerError } from './base/errors.js';
export { TOPICS, type Topic } from './base/log.js';
export { type OpenImageOptions, openImage } from './mgmt/storage/open-image.js';
export { type CreateOptions, createQcow2 } from './mgmt/storage/qcow2/create.js';
export { blockDevice } from './xenner/backend/block/block-device.js';
export type { BlockImage } from './xenner/backend/block/block-image.js';
export type { Device } from './xenner/backend/device.js';
export { netDevice } from './xenner/backend/net/net-device.js';
export type { NetDeviceOptions } from './xenner/backend/net/net-driver.js';
export type { NetPort } from './xenner/backend/net/net-port.js';
export { openPasstPort, type PasstOptions } from './xenner/backend/net/passt-port.js';
export { openMacvtapPort, openTapPort, type TapOptions } from './xenner/backend/net/tap-port.js';
export type { DomainConfig } from './xenner/domain/config.js';
export { type CrashReport, formatCrash } from './xenner/domain/crash.js';
export {
  createDomain,
  Domain,
  type DomainEnd,
  type DomainWatch,
  type Remains,
} from './xenner/domain/domain.js';
export type { DomainStats } from './xenner/domain/exit-counts.js';
export type { EndReason } from './xenner/domain/messages.js';
export { savedUserData } from './xenner/save/inspect.js';
export { type RestoreOptions, restoreDomain } from './xenner/save/restore.js';
