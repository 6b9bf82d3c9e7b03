/** The public face of src/kvm: the only room that loads the addon. */
export type { NativeKvmProbe as KvmProbe } from './addon.js';
export { chooseEngine, type EngineChoice, type EngineWish, probeKvm } from './choose-engine.js';
export { type CompressFormat, compressPieces } from './compress.js';
export {
  CPU_STATE_WORDS,
  type CpuState,
  decodeCpuState,
  encodeCpuState,
  FPU_STATE_BYTES,
  type Segment,
  type TableRegister,
} from './cpu-state.js';
export { type DecompressFormat, decompress, decompressElsewhere } from './decompress.js';
export {
  type CpuidEntry,
  DR6_BREAKPOINT,
  type Engine,
  type EngineName,
  kick,
  type Line,
  type Machine,
  type MachineOptions,
  VCPU_EXIT,
  type Vcpu,
  type VcpuExit,
} from './engine.js';
export {
  clearNonblock,
  FILE_ENGINES,
  type FileEngineName,
  FileIo,
  type FileIoOptions,
  fileIo,
} from './file-io.js';
export {
  alignedMemory,
  dataAt,
  dataRanges,
  endOf,
  isRangeShared,
  punchHole,
  shareRange,
  zeroRange,
} from './file-range.js';
export { type Gpa, GuestMemory, GuestMemoryError, gpa, sumOfPages } from './guest-memory.js';
export { type GuestMemoryOptions, HUGEPAGES } from './guest-memory-backing.js';
export { type ClockSample, clockSample, hostTsc } from './host-clock.js';
export { type HostMemory, type HugepagePool, hostMemory, poolDirectory } from './host-memory.js';
export { openLine } from './kvm-line.js';
export {
  changeLink,
  createLink,
  deleteLink,
  IFF_LOOPBACK,
  IFF_UP,
  type LinkChange,
  linkIndex,
} from './net-link.js';
export { type NetTap, openTap, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 } from './net-tap.js';
export {
  type Address,
  addAddress,
  addRoute,
  type Family,
  linkTowards,
  type Route,
  RT_TABLE_MAIN,
  readAddresses,
  readRoutes,
  removeAddress,
  removeRoute,
} from './netlink/addresses.js';
export {
  ARP_VALIDATE,
  type ArpValidate,
  BOND_MODES,
  type BondData,
  type BondMode,
  type Link,
  type MacvlanMode,
  type NewLink,
  readLinks,
} from './netlink/links.js';
export { linkErrno, type NetworkWatch, watchNetwork } from './netlink/request.js';
export { createNotifier, type Notifier, notify } from './notifier.js';
export { type SocketPair, socketPair } from './socket-pair.js';
export { hasSoftCpu, softEngine } from './soft-engine.js';
