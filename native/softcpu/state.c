/* A CPU's whole state in and out. */
#include "engine.h"

#include "target/i386/tcg/helper-tcg.h"

enum { ARITHMETIC_FLAGS = CC_C | CC_P | CC_A | CC_Z | CC_S | CC_O };
#define SEG_FLAGS                                                                                            \
  (DESC_TYPE_MASK | DESC_S_MASK | DESC_DPL_MASK | DESC_P_MASK | DESC_AVL_MASK | DESC_L_MASK | DESC_B_MASK |  \
   DESC_G_MASK)

static SegmentCache *segment(CPUX86State *env, int seg) {
  return seg == SOFTCPU_LDTR ? &env->ldt : seg == SOFTCPU_TR ? &env->tr : &env->segs[seg];
}

void softcpu_get_state(softcpu *cpu, softcpu_state *state) {
  CPUX86State *env = &cpu->x86.env;
  *state = (softcpu_state){0};
  memcpy(state->gpr, env->regs, sizeof(state->gpr));
  state->rip = env->eip;
  state->rflags = cpu_compute_eflags(env);
  for (int i = 0; i < SOFTCPU_SEGMENTS; i++) {
    SegmentCache *seg = segment(env, i);
    state->seg[i] = (softcpu_seg){
        .base = seg->base, .limit = seg->limit, .flags = seg->flags & SEG_FLAGS, .selector = seg->selector};
  }
  state->gdt_base = env->gdt.base;
  state->gdt_limit = env->gdt.limit;
  state->idt_base = env->idt.base;
  state->idt_limit = env->idt.limit;
  state->cr0 = env->cr[0];
  state->cr2 = env->cr[2];
  state->cr3 = env->cr[3];
  state->cr4 = env->cr[4];
  state->efer = env->efer;
  state->star = env->star;
  state->lstar = env->lstar;
  state->cstar = env->cstar;
  state->fmask = env->fmask;
  state->kernel_gs_base = env->kernelgsbase;
  memcpy(state->dr, env->dr, sizeof(state->dr));
  state->xcr0 = env->xcr0;
  state->pat = env->pat;
  state->tsc_offset = env->tsc_offset;
}

/* Intel SDM vol. 3, 2.2.1 and 2.5: what mov to these registers would refuse. */
static bool acceptable(const softcpu_state *state) {
  uint64_t efer = MSR_EFER_SCE | MSR_EFER_LME | MSR_EFER_LMA | MSR_EFER_NXE;
  uint64_t cr4 = CR4_TSD_MASK | CR4_DE_MASK | CR4_PSE_MASK | CR4_PAE_MASK | CR4_MCE_MASK | CR4_PGE_MASK |
                 CR4_OSFXSR_MASK | CR4_OSXMMEXCPT_MASK | CR4_UMIP_MASK | CR4_FSGSBASE_MASK |
                 CR4_OSXSAVE_MASK | CR4_SMEP_MASK | CR4_SMAP_MASK | CR4_VME_MASK | CR4_PVI_MASK |
                 CR4_PCE_MASK;
  bool paging = state->cr0 & CR0_PG_MASK, lme = state->efer & MSR_EFER_LME, lma = state->efer & MSR_EFER_LMA;
  if (state->efer & ~efer || state->cr4 & ~cr4 || state->cr0 >> 32) return false;
  if (paging && !(state->cr0 & CR0_PE_MASK)) return false;
  if (lma != (lme && paging)) return false;
  if (lma && !(state->cr4 & CR4_PAE_MASK)) return false;
  return (state->xcr0 & ~(uint64_t)(XSTATE_FP_MASK | XSTATE_SSE_MASK)) == 0 && (state->xcr0 & XSTATE_FP_MASK);
}

static void set_segments(CPUX86State *env, const softcpu_state *state) {
  for (int i = 0; i < SOFTCPU_SEGMENTS; i++) {
    const softcpu_seg *from = &state->seg[i];
    uint32_t flags = from->flags & SEG_FLAGS;
    if (i <= SOFTCPU_GS) {
      cpu_x86_load_seg_cache(env, i, from->selector & 0xffff, from->base, from->limit, flags);
      continue;
    }
    *segment(env, i) = (SegmentCache){
        .selector = from->selector & 0xffff, .base = from->base, .limit = from->limit, .flags = flags};
  }
}

bool softcpu_set_state(softcpu *cpu, const softcpu_state *state) {
  CPUX86State *env = &cpu->x86.env;
  if (!acceptable(state)) return false;
  softcpu_enter(cpu);
  memcpy(env->regs, state->gpr, sizeof(state->gpr));
  env->eip = state->rip;
  env->hflags &= ~HF_INHIBIT_IRQ_MASK;
  softcpu_cs(cpu)->exception_index = -1;
  env->old_exception = -1;

  env->efer = state->efer & ~(uint64_t)MSR_EFER_LMA; /* update_cr0 sets it again */
  env->hflags &= ~HF_LMA_MASK;
  env->cr[0] &= ~CR0_PG_MASK;
  cpu_x86_update_cr4(env, state->cr4);
  cpu_x86_update_cr0(env, state->cr0);
  env->eip = state->rip;
  env->cr[2] = state->cr2;
  env->cr[3] = state->cr3;
  env->star = state->star;
  env->lstar = state->lstar;
  env->cstar = state->cstar;
  env->fmask = state->fmask;
  env->kernelgsbase = state->kernel_gs_base;
  env->xcr0 = state->xcr0;
  env->pat = state->pat;
  env->tsc_offset = state->tsc_offset;
  env->gdt.base = state->gdt_base;
  env->gdt.limit = state->gdt_limit;
  env->idt.base = state->idt_base;
  env->idt.limit = state->idt_limit;
  set_segments(env, state);

  env->cc_op = CC_OP_EFLAGS;
  env->cc_src = state->rflags & ARITHMETIC_FLAGS;
  env->df = state->rflags & DF_MASK ? -1 : 1;
  env->eflags = (state->rflags & ~(uint64_t)(ARITHMETIC_FLAGS | DF_MASK)) | 0x2;
  cpu_x86_update_dr7(env, 0); /* what is armed at the old addresses goes */
  for (int i = 0; i < 4; i++)
    env->dr[i] = state->dr[i];
  env->dr[6] = state->dr[6];
  cpu_x86_update_dr7(env, state->dr[7]);
  tlb_flush(softcpu_cs(cpu));
  return true;
}
