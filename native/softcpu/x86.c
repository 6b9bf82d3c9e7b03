/* The parts of an x86 CPU that QEMU keeps with its CPU models and machine:
 * reset, control registers, CPUID, the TSC. */
#include "engine.h"

#include "exec/helper-proto.h"
#include "hw/core/tcg-cpu-ops.h"
#include "target/i386/tcg/helper-tcg.h"
#include <x86intrin.h>

/* What the translator accepts: everything that it implements but AVX and its
 * kin, which 7.2 gets wrong, protection keys, SVM, MPX and five-level paging,
 * which a PV guest never uses. What the guest is told is the caller's table. */
static const uint64_t translated_features[FEATURE_WORDS] = {
    [FEAT_1_EDX] = CPUID_FP87 | CPUID_DE | CPUID_PSE | CPUID_TSC | CPUID_MSR | CPUID_PAE | CPUID_MCE |
                   CPUID_CX8 | CPUID_SEP | CPUID_MTRR | CPUID_PGE | CPUID_MCA | CPUID_CMOV | CPUID_PAT |
                   CPUID_PSE36 | CPUID_CLFLUSH | CPUID_MMX | CPUID_FXSR | CPUID_SSE | CPUID_SSE2,
    [FEAT_1_ECX] = CPUID_EXT_SSE3 | CPUID_EXT_PCLMULQDQ | CPUID_EXT_MONITOR | CPUID_EXT_SSSE3 |
                   CPUID_EXT_CX16 | CPUID_EXT_SSE41 | CPUID_EXT_SSE42 | CPUID_EXT_POPCNT | CPUID_EXT_XSAVE |
                   CPUID_EXT_MOVBE | CPUID_EXT_AES | CPUID_EXT_RDRAND,
    [FEAT_8000_0001_EDX] = CPUID_EXT2_NX | CPUID_EXT2_MMXEXT | CPUID_EXT2_RDTSCP | CPUID_EXT2_PDPE1GB |
                           CPUID_EXT2_SYSCALL | CPUID_EXT2_LM,
    [FEAT_8000_0001_ECX] = CPUID_EXT3_LAHF_LM | CPUID_EXT3_ABM | CPUID_EXT3_SSE4A,
    [FEAT_7_0_EBX] = CPUID_7_0_EBX_SMEP | CPUID_7_0_EBX_SMAP | CPUID_7_0_EBX_BMI1 | CPUID_7_0_EBX_BMI2 |
                     CPUID_7_0_EBX_ADX | CPUID_7_0_EBX_CLFLUSHOPT | CPUID_7_0_EBX_CLWB |
                     CPUID_7_0_EBX_FSGSBASE | CPUID_7_0_EBX_ERMS,
    [FEAT_7_0_ECX] = CPUID_7_0_ECX_UMIP,
    [FEAT_XSAVE] = CPUID_XSAVE_XSAVEOPT | CPUID_XSAVE_XGETBV1,
};

enum { PHYS_BITS = 40 };

void x86_reset(struct softcpu *cpu) {
  CPUX86State *env = &cpu->x86.env;
  cpu->x86.phys_bits = PHYS_BITS;
  QEMU_BUILD_BUG_ON(sizeof(translated_features) > sizeof(env->features));
  memcpy(env->features, translated_features, sizeof(translated_features));
  env->cpuid_vendor1 = CPUID_VENDOR_INTEL_1; /* SYSENTER and SYSCALL are as on
                                                Intel's processors */
  env->cpuid_vendor2 = CPUID_VENDOR_INTEL_2;
  env->cpuid_vendor3 = CPUID_VENDOR_INTEL_3;
  env->old_exception = -1;
  env->hflags2 = HF2_GIF_MASK | HF2_VGIF_MASK;
  env->a20_mask = ~0;
  cpu_x86_update_cr0(env, CR0_ET_MASK | 0x60000000);

  uint32_t data = DESC_P_MASK | DESC_S_MASK | DESC_W_MASK | DESC_A_MASK;
  uint32_t code = DESC_P_MASK | DESC_S_MASK | DESC_CS_MASK | DESC_R_MASK | DESC_A_MASK;
  env->idt.limit = env->gdt.limit = env->ldt.limit = env->tr.limit = 0xffff;
  env->ldt.flags = DESC_P_MASK | 2 << DESC_TYPE_SHIFT;
  env->tr.flags = DESC_P_MASK | 11 << DESC_TYPE_SHIFT;
  cpu_x86_load_seg_cache(env, R_CS, 0xf000, 0xffff0000, 0xffff, code);
  for (int seg = R_ES; seg <= R_GS; seg++)
    if (seg != R_CS) cpu_x86_load_seg_cache(env, seg, 0, 0, 0xffff, data);
  env->eip = 0xfff0;
  env->eflags = 0x2;
  env->cc_op = CC_OP_EFLAGS;
  env->df = 1;

  memset(env->fptags, 1, sizeof(env->fptags));
  cpu_set_fpuc(env, 0x37f);
  cpu_set_mxcsr(env, 0x1f80);
  env->pat = 0x0007040600070406ull;
  env->msr_ia32_misc_enable = MSR_IA32_MISC_ENABLE_DEFAULT;
  env->dr[6] = DR6_FIXED_1;
  env->dr[7] = DR7_FIXED_1;
  env->xcr0 = XSTATE_FP_MASK;
  cpu_x86_update_cr4(env, 0);
}

void cpu_x86_update_cr0(CPUX86State *env, uint32_t new_cr0) {
  uint32_t paging = CR0_PG_MASK | CR0_WP_MASK | CR0_PE_MASK, fpu = HF_MP_MASK | HF_EM_MASK | HF_TS_MASK;
  if ((new_cr0 ^ env->cr[0]) & paging) tlb_flush(env_cpu(env));
  if ((new_cr0 & ~env->cr[0] & CR0_PG_MASK) && (env->efer & MSR_EFER_LME)) {
    if (!(env->cr[4] & CR4_PAE_MASK)) raise_exception_err_ra(env, EXCP0D_GPF, 0, GETPC());
    env->efer |= MSR_EFER_LMA;
    env->hflags |= HF_LMA_MASK;
  } else if ((~new_cr0 & env->cr[0] & CR0_PG_MASK) && (env->efer & MSR_EFER_LMA)) {
    env->efer &= ~MSR_EFER_LMA;
    env->hflags &= ~(HF_LMA_MASK | HF_CS64_MASK);
    env->eip = (uint32_t)env->eip;
  }
  env->cr[0] = new_cr0 | CR0_ET_MASK;
  env->hflags &= ~(HF_PE_MASK | fpu);
  env->hflags |= new_cr0 & CR0_PE_MASK ? HF_PE_MASK : HF_ADDSEG_MASK;
  env->hflags |= (new_cr0 << (HF_MP_SHIFT - 1)) & fpu;
}

void cpu_x86_update_cr3(CPUX86State *env, target_ulong new_cr3) {
  env->cr[3] = new_cr3;
  if (env->cr[0] & CR0_PG_MASK) tlb_flush_for_cr3(softcpu_of(env_cpu(env)));
}

void cpu_x86_update_cr4(CPUX86State *env, uint32_t new_cr4) {
  uint32_t paging = CR4_PGE_MASK | CR4_PAE_MASK | CR4_PSE_MASK | CR4_SMEP_MASK | CR4_SMAP_MASK;
  if ((new_cr4 ^ env->cr[4]) & paging) tlb_flush(env_cpu(env));
  new_cr4 &= ~(CR4_PKE_MASK | CR4_PKS_MASK | CR4_LA57_MASK);
  env->cr[4] = new_cr4;
  env->hflags &= ~(HF_OSFXSR_MASK | HF_SMAP_MASK | HF_UMIP_MASK);
  if (new_cr4 & CR4_OSFXSR_MASK) env->hflags |= HF_OSFXSR_MASK;
  if (new_cr4 & CR4_SMAP_MASK) env->hflags |= HF_SMAP_MASK;
  if (new_cr4 & CR4_UMIP_MASK) env->hflags |= HF_UMIP_MASK;
}

/* No AVX, no MPX: nothing depends on XCR0. */
void cpu_sync_avx_hflag(CPUX86State *env) {}
void cpu_sync_bndcs_hflags(CPUX86State *env) {}

void cpu_load_efer(CPUX86State *env, uint64_t value) {
  env->efer = value;
  env->hflags &= ~HF_LMA_MASK;
  if (value & MSR_EFER_LMA) env->hflags |= HF_LMA_MASK;
}

void cpu_x86_cpuid(CPUX86State *env, uint32_t function, uint32_t index, uint32_t *eax, uint32_t *ebx,
                   uint32_t *ecx, uint32_t *edx) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  softcpu_cpuid none = {0}, *found = &none;
  for (size_t i = 0; i < cpu->cpuid_count; i++) {
    softcpu_cpuid *entry = &cpu->cpuid[i];
    if (entry->function != function || (entry->index != SOFTCPU_ANY_INDEX && entry->index != index)) continue;
    found = entry;
    break;
  }
  *eax = found->eax;
  *ebx = found->ebx;
  *ecx = found->ecx;
  *edx = found->edx;
}

uint64_t cpu_get_tsc(CPUX86State *env) {
  return __rdtsc();
}

/* Blocks know only the offset in their page (TARGET_TB_PCREL), since several
 * addresses share them; the page is that of the linear address in EIP, which
 * translated code keeps. data[1]: the state of the lazy flags. */
static void restore_to_instruction(CPUState *cs, const TranslationBlock *tb, const uint64_t *data) {
  CPUX86State *env = cs->env_ptr;
  uint64_t pc = ((env->eip + tb->cs_base) & TARGET_PAGE_MASK) | data[0];
  env->eip = tb->flags & HF_CS64_MASK ? pc : (uint32_t)(pc - tb->cs_base);
  if (data[1] != CC_OP_DYNAMIC) env->cc_op = data[1];
}

const struct TCGCPUOps x86_ops = {
    .initialize = tcg_x86_init,
    .restore_state_to_opc = restore_to_instruction,
    .debug_excp_handler = breakpoint_handler,
};
