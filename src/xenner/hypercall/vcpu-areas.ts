/** Memory of the guest's own that it tells Xen to keep something in, a vCPU at a time (xen/common/domain.c). */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { EFAULT, EINVAL, ENXIO } from '../abi/errno.js';
import * as abi from '../abi/vcpu.js';
import { vcpu_info, vcpu_time_info } from '../abi/xen.js';
import { writeRunstateArea } from '../domain/runstate.js';
import type { Vcpu } from '../domain/vcpu.js';
import { addressOk } from '../mm/guest-list.js';
import { DIRECT_VA, PGT_writable_page } from '../monitor/vcpu-area.js';

const PAGE = 4096;
const UPCALL_PENDING = vcpu_info.offsetof('evtchn_upcall_pending');
const PENDING_SEL = vcpu_info.offsetof('evtchn_pending_sel');
const TIME = vcpu_info.offsetof('time');
const ALL_PORTS = 0xffffffff_ffffffffn;
/** Event bits are set with atomic operations, which need this much. */
const VCPU_INFO_ALIGN = 8;
const TIME_ALIGN = 8;

function frameOf(address: Gpa): number {
  return Math.floor(address / PAGE);
}

/** get_page_and_type: keeps a frame of the guest's from becoming a page table while Xen writes to it. */
export function holdWritable(vcpu: Vcpu, mfn: number): boolean {
  const { pages, nrPages } = vcpu.domain;
  return mfn < nrPages && pages.getPageType(vcpu, mfn, PGT_writable_page) === 0;
}

/** map_vcpu_info: the vcpu_info moves to a place of the guest's choice, once. */
export function registerVcpuInfo(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const op = current.guest.readStruct(abi.vcpu_register_vcpu_info, arg);
  if (op === undefined) return -EFAULT;
  const { memory } = vcpu.domain;
  if (op.offset > PAGE - vcpu_info.size || op.offset % VCPU_INFO_ALIGN !== 0) return -ENXIO;
  if (vcpu.vcpuInfoMoved || (vcpu !== current && vcpu.online)) return -EINVAL;
  if (!holdWritable(current, Number(op.mfn))) return -EINVAL;
  const at = gpa(Number(op.mfn) * PAGE + op.offset);
  memory.copyIn(at, memory.copyOut(vcpu.vcpuInfo, vcpu_info.size));
  vcpu.vcpuInfo = at;
  vcpu.vcpuInfoMoved = true;
  vcpu.area.set('vcpu_info', DIRECT_VA + BigInt(at));
  // An event that came in between is lost otherwise; the guest copes with one that is not there.
  memory.writeU64(gpa(at + PENDING_SEL), ALL_PORTS);
  memory.writeU8(gpa(at + UPCALL_PENDING), 1);
  return 0;
}

/** Written now, and whenever the vCPU wakes up. As in Xen, an address that cannot be written is no error. */
export function registerRunstateArea(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const op = current.guest.readStruct(abi.vcpu_register_runstate_memory_area, arg);
  if (op === undefined || !addressOk(op.addr)) return -EFAULT;
  vcpu.area.set('runstate_area', op.addr);
  writeRunstateArea(vcpu, current);
  return 0;
}

/**
 * A second copy of the vCPU's time, which Linux shows to its programs. Xen follows the address at every update; here it
 * is translated once, and an area that does not lie within one page is none.
 */
export function registerTimeArea(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const op = current.guest.readStruct(abi.vcpu_register_time_memory_area, arg);
  if (op === undefined || !addressOk(op.addr)) return -EFAULT;
  const { memory, pages } = vcpu.domain;
  if (vcpu.timeArea !== undefined) pages.putPageType(current, frameOf(vcpu.timeArea), PGT_writable_page);
  vcpu.timeArea = undefined;
  const at = current.guest.translate(op.addr, true);
  if (at < 0 || at % TIME_ALIGN !== 0 || at % PAGE > PAGE - vcpu_time_info.size) return 0;
  if (!holdWritable(current, frameOf(gpa(at)))) return 0;
  memory.copyIn(gpa(at), memory.copyOut(gpa(vcpu.vcpuInfo + TIME), vcpu_time_info.size));
  vcpu.timeArea = gpa(at);
  return 0;
}
