/**
 * `xenner/mgmt`: the host, managed. StoragePools are this user's storage pools, a StoragePool has StorageVolumes; documents, states
 * and errors' codes are libvirt's (https://libvirt.org/formatstorage.html). Sizes are in bytes. Whatever fails, rejects with an XennerError: a
 * PoolError, whose `code` is libvirt's name for it, or one of the host's. What is done to images as such is qemu-img's, and so are the
 * shapes of what is told of them (QEMU's qapi/block-core.json). HostInterfaces are the host's network interfaces, with documents of
 * libvirt's interface.rng. The host itself is functions, whose last argument is where its kernel's files are: by default `/`. They
 * throw HostErrors.
 */
export { XennerError } from '../base/errors.js';
export type { NetworkWatch } from '../kvm/index.js';

export { type CacheBank, cacheBanks } from './host/caches.js';
export { capabilitiesXml } from './host/capabilities.js';
export { type Cell, type CellPages, cells, type MemoryStats, memoryStats } from './host/cells.js';
export {
  type CpuIdentity,
  type CpuMap,
  type CpuPlace,
  type CpuStats,
  cpuIdentity,
  cpuMap,
  cpuPlace,
  cpuStats,
} from './host/cpus.js';
export { HostError, type HostErrorCode } from './host/errors.js';
export { HostFiles } from './host/host-files.js';
export {
  allocatePages,
  type HugepageCount,
  type HugetlbMount,
  hugepageCounts,
  hugetlbMounts,
  releaseHugepages,
  reserveHugepages,
} from './host/huge-pages.js';
export { type KernelFeature, kernelFeatures } from './host/kernel-features.js';
export {
  type KsmFacts,
  type KsmTuning,
  ksmFacts,
  type StopOptions,
  startKsm,
  stopKsm,
  tuneKsm,
} from './host/ksm.js';
export {
  DEFAULT_LIMITS,
  decideKsm,
  type GovernorLimits,
  type GovernorOptions,
  governKsm,
  type KsmDecision,
  type MemoryPressure,
  restoreKsm,
} from './host/ksm-governor.js';
export { type NodeInfo, nodeInfo } from './host/node-info.js';
export { type HeldPages, type ProcessMemory, processMemory } from './host/process-memory.js';

export type { InterfaceDefinition } from './network/definition.js';

export { InterfaceError, type InterfaceErrorCode } from './network/errors.js';
export type { BridgeOptions, ChangeOptions, HostInterface } from './network/host-interface.js';
export {
  HostInterfaces,
  type HostInterfacesOptions,
  type InterfaceFilter,
} from './network/host-interfaces.js';
export type { BuildOptions, VolumeOptions } from './storage/pool/backend.js';
export type {
  BackingStore,
  Permissions,
  PoolDefinition,
  PoolSizes,
  PoolSource,
  Timestamps,
  VolumeDefinition,
  VolumeTarget,
  VolumeType,
} from './storage/pool/definition.js';
export { PoolError, type PoolErrorCode } from './storage/pool/errors.js';
export type { PoolTypeName } from './storage/pool/pool-types.js';
export { type PoolFilter, StoragePools, type StoragePoolsOptions } from './storage/pool/pools.js';
export type { PoolInfo, PoolState, StoragePool } from './storage/pool/storage-pool.js';
export type { ResizeOptions, StorageVolume } from './storage/pool/storage-volume.js';
export type { StreamPiece, StreamRange } from './storage/pool/volume-stream.js';
export { WIPE_ALGORITHMS, type WipeAlgorithm } from './storage/pool/wipe.js';
export type { BackingName } from './storage/qcow2/backing-name.js';
export type { LuksFacts, LuksSlotFacts } from './storage/qcow2/luks-facts.js';
export { type CheckOptions, checkImage, type ImageCheck } from './storage/tools/check.js';
export { type CommitOptions, commitImage } from './storage/tools/commit.js';
export {
  type ComparedImage,
  CompareError,
  type CompareOptions,
  type CompareOutcome,
  compareImages,
} from './storage/tools/compare.js';
export {
  type ConvertOptions,
  type ConvertSource,
  type ConvertTarget,
  convertImage,
} from './storage/tools/convert.js';
export {
  type CreateChoices,
  createImage,
  type NewImage,
  parseCreateChoices,
} from './storage/tools/create-options.js';
export type { ImageFileOptions, ToolFormat } from './storage/tools/image-file.js';
export {
  type BitmapInfo,
  type ImageInfo,
  imageChain,
  imageInfo,
  type Qcow2Info,
  type SnapshotInfo,
} from './storage/tools/info.js';
export { type MapEntry, type MapOptions, mapImage } from './storage/tools/map.js';
export { type ImageMeasure, type MeasureOptions, measureImage } from './storage/tools/measure.js';
export { type NewImageOptions, newImage } from './storage/tools/new-image.js';
export { type RebaseOptions, rebaseImage } from './storage/tools/rebase.js';
export { type ResizeImageOptions, resizeImage } from './storage/tools/resize.js';
export {
  applyImageSnapshot,
  createImageSnapshot,
  deleteImageSnapshot,
  imageSnapshots,
} from './storage/tools/snapshots.js';
export type { Progress, WorkOptions } from './storage/tools/work.js';
