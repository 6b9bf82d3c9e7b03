/** Xen 4.17's ABI for a 64-bit PV domU: xen/arch/x86/cpu-policy.c, xen/common/kernel.c. */
import { XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD } from '../abi/cpuid.js';
import * as features from '../abi/features.js';
import { SIF_VIRT_P2M_4TOOLS } from '../abi/xen.js';
import type { AbiProfile } from './abi-profile.js';

export const xen_4_17_v1: AbiProfile = {
  name: 'xen-4.17-v1',
  xen: {
    major: 4,
    minor: 17,
    extraversion: '.0-xenner',
    capabilities: 'xen-3.0-x86_64 ',
    changeset: 'xenner',
    compileInfo: { compiler: 'TypeScript', compile_by: 'xenner', compile_domain: '', compile_date: '' },
    // Those of a 64-bit PV domain, whose page directories may lie anywhere whether it asks for that (vm_assist) or not.
    features: [
      features.XENFEAT_pae_pgdir_above_4gb,
      features.XENFEAT_mmu_pt_update_preserve_ad,
      features.XENFEAT_highmem_assist,
      features.XENFEAT_gnttab_map_avail_bits,
      features.XENFEAT_memory_op_vnode_supported,
      features.XENFEAT_direct_mapped,
    ],
  },
  cpuid: {
    // Hidden as by Xen: PSE, PGE, MTRR, APIC, SMEP, SMAP, PCID, SEP. Hidden for speed: XSAVE, whose state is only what FXSAVE
    // has.
    visible: {
      leaf1Ecx: [0, 1, 9, 13, 19, 20, 22, 23, 25],
      leaf1Edx: [0, 4, 5, 6, 8, 15, 19, 23, 24, 25, 26],
      leaf7Ebx: [3, 8, 19], // BMI1 BMI2 ADX
      extendedEcx: [0, 5], // LAHF ABM
      extendedEdx: [11, 20, 29], // SYSCALL NX LM
    },
    // Family 6, model 0x1c: an in-order Atom with 64 bits. Nothing is executed speculatively on its behalf, so a kernel spends
    // nothing on hiding that (Linux: NO_SPECULATION in cpu_vuln_whitelist), and takes `rep movs` for fast, which it is.
    softCpu: {
      vendor: 'GenuineIntel',
      signature: 0x000106ca,
      brand: 'xenner virtual CPU',
      clflushSize: 8,
    },
    xenFeatures: XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD,
    physicalBits: 40,
    linearBits: 48,
  },
  cr4: 0x620n, // PAE OSFXSR OSXMMEXCPT
  startInfo: { magic: 'xen-3.0-x86_64', flags: SIF_VIRT_P2M_4TOOLS },
  grantFrames: 32,
};
