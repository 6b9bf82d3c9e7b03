/** xen/include/public/arch-x86/cpuid.h: the leaves that say Xen. */
export const XEN_CPUID_FIRST_LEAF = 0x40000000;
export const XEN_CPUID_SIGNATURE_EBX = 0x566e6558;
export const XEN_CPUID_SIGNATURE_ECX = 0x65584d4d;
export const XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e;
/** ECX of the first leaf + 2. */
export const XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0;
/** EBX of the first leaf + 5. */
export const XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff;
export const XEN_CPUID_MAX_NUM_LEAVES = 5;
