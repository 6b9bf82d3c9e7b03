/** A domain that starts for the first time: Xen's frames, the kernel, and vCPUs that have not run. */
import { type CpuidEntry, decompress, gpa } from '../../kvm/index.js';
import { GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE } from '../abi/grant-table.js';
import { RUNSTATE_offline } from '../abi/vcpu.js';
import { shared_info, vcpu_info } from '../abi/xen.js';
import { buildGuest, type StartOfDay } from '../builder/build.js';
import { openFile } from '../builder/image-source.js';
import { KernelCache, kernelCacheDirectory } from '../builder/kernel-cache.js';
import { openKernel } from '../builder/kernel-image.js';
import { guestCpuid } from '../cpuid.js';
import { PAGE } from '../monitor/frames.js';
import { entryRegisters } from '../monitor/initial-state.js';
import { installMonitor, mapHole } from '../monitor/install.js';
import * as monitor from '../monitor/vcpu-area.js';
import type { Machine } from './machine.js';
import type { VirtualCpu } from './virtual-cpu.js';
import { fillM2p, markXenFrames } from './xen-tables.js';

const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');

/** What lies in Xen's frames before anything refers to it. */
export function installXen({ memory, frames, monitor: image, area }: Machine, nrVcpus: number): void {
  installMonitor(memory, frames, image, nrVcpus);
  mapHole(memory, frames);
  fillM2p(memory, frames);
  markXenFrames(memory, frames);
  area.setLow('flush_clock', 1);
}

/** Frames of rings that start_info names. */
export interface RingPfns {
  readonly storePfn: number;
  readonly consolePfn: number;
}

/**
 * Builds the guest, up to its first instruction.
 */
export function startOfDay(machine: Machine): RingPfns {
  const start = build(machine);
  const { entry, nrPages, nrPtFrames, storePfn, consolePfn, initrd } = start;
  machine.log.trace('builder', 'start of day', {
    entry: `0x${entry.toString(16)}`,
    nrPages,
    nrPtFrames,
    storePfn,
    consolePfn,
    initrd,
  });
  machine.grants.seed(GNTTAB_RESERVED_CONSOLE, consolePfn);
  machine.grants.seed(GNTTAB_RESERVED_XENSTORE, storePfn);
  machine.pages.adoptInitialTables(start.pageTables, start.writable);
  const cpu = machine.choice.engine.cpuid?.();
  for (const vcpu of machine.vcpus) prepareVcpu(machine, vcpu, cpu);
  startFirstVcpu(machine, start);
  return { storePfn, consolePfn };
}

function build({
  memory,
  nrPages,
  sharedInfo,
  storePort,
  consolePort,
  config,
  profile,
}: Machine): StartOfDay {
  const kernel = openKernel(config.kernel, decompress, new KernelCache(kernelCacheDirectory()));
  try {
    const initrd =
      config.ramdisk === undefined ? undefined : openFile(config.ramdisk, 'initrd', nrPages * PAGE);
    try {
      return buildGuest(memory, kernel, {
        nrPages,
        cmdline: config.cmdline,
        sharedInfo,
        storeEvtchn: storePort,
        consoleEvtchn: consolePort,
        ...profile.startInfo,
        ...(initrd && { initrd }),
      });
    } finally {
      initrd?.close();
    }
  } finally {
    kernel.source.close();
  }
}

/** What every vCPU has before it is started. Events are masked (arch_set_info_guest). */
function prepareVcpu(machine: Machine, vcpu: VirtualCpu, cpu: readonly CpuidEntry[] | undefined): void {
  const { config, memory, profile, vcpus } = machine;
  vcpu.area.setLow('id', vcpu.id);
  vcpu.area.setLow('fast_paths', config.fastPaths ? monitor.DOMAIN_FAST_PATHS : 0);
  vcpu.area.set('cr4', profile.cr4);
  vcpu.area.set('vcpu_info', monitor.DIRECT_VA + BigInt(vcpu.vcpuInfo));
  vcpu.area.setLow('kernel_ss', monitor.SEL_SHOWN_KERNEL_SS);
  vcpu.area.setLow('sysret_cs', monitor.SYSRET_NONE);
  vcpu.area.setLow('outside', 1);
  vcpu.runstate.change(RUNSTATE_offline, 0);
  memory.writeU8(gpa(vcpu.vcpuInfo + UPCALL_MASK), 1);
  vcpu.cpuid = guestCpuid(profile, vcpu.id, vcpus.length, cpu);
}

/** Start of day, where another vCPU has VCPUOP_initialise. */
function startFirstVcpu({ memory, sharedInfo, vcpus }: Machine, start: StartOfDay): void {
  const vcpu = vcpus[0]!;
  const mask = shared_info.offsetof('evtchn_mask');
  memory.fill(gpa(sharedInfo + mask), shared_info.offsetof('wc_version') - mask, 0xff);
  vcpu.area.set('cr3', BigInt(start.ptBase.gpa));
  vcpu.startRegisters = entryRegisters({ rip: start.entry, rsp: start.stack, rsi: start.startInfo.va });
  vcpu.initialised = true;
}
