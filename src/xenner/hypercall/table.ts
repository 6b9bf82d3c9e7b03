/** The hypercalls of a PV domU: the specification, whatever the monitor serves by itself. */
import type { Vcpu } from '../domain/vcpu.js';
import { set_trap_table } from './00-set-trap-table.js';
import { mmu_update } from './01-mmu-update.js';
import { set_gdt } from './02-set-gdt.js';
import { stack_switch } from './03-stack-switch.js';
import { set_callbacks } from './04-set-callbacks.js';
import { fpu_taskswitch } from './05-fpu-taskswitch.js';
import { sched_op_compat } from './06-sched-op-compat.js';
import { platform_op } from './07-platform-op.js';
import { set_debugreg } from './08-set-debugreg.js';
import { get_debugreg } from './09-get-debugreg.js';
import { update_descriptor } from './10-update-descriptor.js';
import { memory_op } from './12-memory-op.js';
import { multicall } from './13-multicall.js';
import { update_va_mapping } from './14-update-va-mapping.js';
import { set_timer_op } from './15-set-timer-op.js';
import { event_channel_op_compat } from './16-event-channel-op-compat.js';
import { xen_version } from './17-xen-version.js';
import { console_io } from './18-console-io.js';
import { physdev_op_compat } from './19-physdev-op-compat.js';
import { grant_table_op } from './20-grant-table-op.js';
import { vm_assist } from './21-vm-assist.js';
import { update_va_mapping_otherdomain } from './22-update-va-mapping-otherdomain.js';
import { iret } from './23-iret.js';
import { vcpu_op } from './24-vcpu-op.js';
import { set_segment_base } from './25-set-segment-base.js';
import { mmuext_op } from './26-mmuext-op.js';
import { xsm_op } from './27-xsm-op.js';
import { nmi_op } from './28-nmi-op.js';
import { sched_op } from './29-sched-op.js';
import { callback_op } from './30-callback-op.js';
import { xenoprof_op } from './31-xenoprof-op.js';
import { event_channel_op } from './32-event-channel-op.js';
import { physdev_op } from './33-physdev-op.js';
import { hvm_op } from './34-hvm-op.js';
import { sysctl } from './35-sysctl.js';
import { domctl } from './36-domctl.js';
import { kexec_op } from './37-kexec-op.js';
import { tmem_op } from './38-tmem-op.js';
import { argo_op } from './39-argo-op.js';
import { xenpmu_op } from './40-xenpmu-op.js';
import { dm_op } from './41-dm-op.js';
import { hypfs_op } from './42-hypfs-op.js';
import { arch_0 } from './48-arch-0.js';
import type { HypercallArgs } from './call.js';
import { HypercallTable } from './registry.js';

export const hypercalls: HypercallTable = new HypercallTable([
  set_trap_table,
  mmu_update,
  set_gdt,
  stack_switch,
  set_callbacks,
  fpu_taskswitch,
  sched_op_compat,
  platform_op,
  set_debugreg,
  get_debugreg,
  update_descriptor,
  memory_op,
  multicall(dispatch),
  update_va_mapping,
  set_timer_op,
  event_channel_op_compat,
  xen_version,
  console_io,
  physdev_op_compat,
  grant_table_op,
  vm_assist,
  update_va_mapping_otherdomain,
  iret,
  vcpu_op,
  set_segment_base,
  mmuext_op,
  xsm_op,
  nmi_op,
  sched_op,
  callback_op,
  xenoprof_op,
  event_channel_op,
  physdev_op,
  hvm_op,
  sysctl,
  domctl,
  kexec_op,
  tmem_op,
  argo_op,
  xenpmu_op,
  dm_op,
  hypfs_op,
  arch_0,
]);

/** See HypercallTable.dispatch. */
export function dispatch(vcpu: Vcpu, number: number, args: HypercallArgs): number | bigint {
  return hypercalls.dispatch(vcpu, number, args);
}
