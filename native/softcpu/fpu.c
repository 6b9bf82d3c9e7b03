/* FPU and SSE registers in and out, in the layout of FXSAVE in 64-bit mode (Intel SDM vol. 1, table 10-2). */
#include "engine.h"

#define FSW_TOP 0x3800
#define FSW_SUMMARY 0x0080
#define FSW_BUSY 0x8000
#define MXCSR_DEFINED 0xffff

struct fxsave {
  uint16_t fcw, fsw;
  uint8_t tags; /* of the physical registers: 1 is in use */
  uint8_t reserved;
  uint16_t opcode;
  uint64_t instruction, operand;
  uint32_t mxcsr, mxcsr_mask;
  struct {
    uint64_t low;
    uint16_t high, pad[3];
  } st[8]; /* from the top of the stack */
  uint64_t xmm[16][2];
  uint8_t rest[96];
};
QEMU_BUILD_BUG_ON(sizeof(struct fxsave) != SOFTCPU_FPU_BYTES);

void softcpu_get_fpu(softcpu *cpu, uint8_t *bytes) {
  CPUX86State *env = &cpu->x86.env;
  update_mxcsr_from_sse_status(env);
  struct fxsave area = {
      .fcw = env->fpuc,
      .fsw = (env->fpus & ~FSW_TOP) | (env->fpstt & 7) << 11,
      .opcode = env->fpop,
      .instruction = env->fpip,
      .operand = env->fpdp,
      .mxcsr = env->mxcsr,
      .mxcsr_mask = MXCSR_DEFINED,
  };
  for (int i = 0; i < 8; i++) {
    floatx80 value = env->fpregs[(env->fpstt + i) & 7].d;
    area.tags |= !env->fptags[i] << i;
    area.st[i].low = value.low;
    area.st[i].high = value.high;
  }
  for (int i = 0; i < 16; i++)
    for (int half = 0; half < 2; half++)
      area.xmm[i][half] = env->xmm_regs[i].ZMM_Q(half);
  memcpy(bytes, &area, sizeof(area));
}

void softcpu_set_fpu(softcpu *cpu, const uint8_t *bytes) {
  CPUX86State *env = &cpu->x86.env;
  struct fxsave area;
  memcpy(&area, bytes, sizeof(area));
  cpu_set_fpuc(env, area.fcw);
  cpu_set_mxcsr(env, area.mxcsr & MXCSR_DEFINED);
  env->fpstt = (area.fsw & FSW_TOP) >> 11;
  env->fpus = (area.fsw & ~(FSW_TOP | FSW_BUSY)) | (area.fsw & FSW_SUMMARY ? FSW_BUSY : 0);
  env->fpop = area.opcode;
  env->fpip = area.instruction;
  env->fpdp = area.operand;
  for (int i = 0; i < 8; i++) {
    env->fptags[i] = !(area.tags >> i & 1);
    env->fpregs[(env->fpstt + i) & 7].d = (floatx80){.low = area.st[i].low, .high = area.st[i].high};
  }
  for (int i = 0; i < 16; i++)
    for (int half = 0; half < 2; half++)
      env->xmm_regs[i].ZMM_Q(half) = area.xmm[i][half];
}
