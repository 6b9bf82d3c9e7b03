/* Privileged instructions that a PV kernel may execute: xen/arch/x86/pv/emul-priv-op.c. Anything else is its
 * #GP. */
#include "monitor.h"

#define MAX_INSN 15
#define FORCED_CPUID_SIZE 7
#define X86_CR0_SHOWN 0x80050033ul
#define X86_CR0_TS 8ul

#define MSR_IA32_TSC 0x10
#define MSR_IA32_APICBASE 0x1b
#define MSR_IA32_UCODE_REV 0x8b
#define MSR_IA32_MISC_ENABLE 0x1a0
#define MSR_IA32_CR_PAT 0x277
#define MSR_EFER 0xc0000080
/* What Xen shows a guest: SCE, LME, LMA, NXE; WB WT UC- UC WC WP as PAT (XEN_MSR_PAT). */
#define EFER_SHOWN 0xd01ul
#define PAT_SHOWN 0x050100070406ul
#define APICBASE_SHOWN 0xfee00900ul

struct insn {
  u8 bytes[MAX_INSN];
  unsigned length;   /* bytes that could be read */
  unsigned position; /* decoded so far */
  u8 rex;
  int operand16;
};

static u64 *gpr(struct regs *r, unsigned number) {
  u64 *const map[16] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                        &r->r8,  &r->r9,  &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};
  return map[number & 15];
}

static u8 next(struct insn *i) {
  return i->position < i->length ? i->bytes[i->position++] : (i->position++, 0);
}

static void fetch(struct insn *i, u64 rip) {
  *i = (struct insn){0};
  while (i->length < MAX_INSN && !copy_from_guest(i->bytes + i->length, rip + i->length, 1))
    i->length++;
}

/* iopl_ok: a kernel needs IOPL 1 (physdev_op set_iopl), as it runs outside ring 0. */
static int io_allowed(struct vcpu_area *v) {
  return v->iopl >= 1;
}

/* No port belongs to a domU: reads give all ones, but the PIT reads 0, which ends a guest's TSC calibration
 * at once. */
static u64 port_value(u16 port) {
  return (port & ~3) == 0x40 ? 0 : 0xffffffff;
}

static int port_in(struct regs *r, u16 port, unsigned bytes) {
  u64 value = port_value(port);
  if (bytes == 1)
    r->rax = (r->rax & ~0xfful) | (value & 0xff);
  else if (bytes == 2)
    r->rax = (r->rax & ~0xfffful) | (value & 0xffff);
  else
    r->rax = (u32)value;
  return 1;
}

static int read_msr(struct vcpu_area *v, struct regs *r) {
  u64 value;
  switch ((u32)r->rcx) {
  case MSR_IA32_TSC:
    value = rdtsc();
    break;
  case MSR_IA32_APICBASE:
    value = APICBASE_SHOWN;
    break;
  case MSR_IA32_CR_PAT:
    value = PAT_SHOWN;
    break;
  case MSR_EFER:
    value = EFER_SHOWN;
    break;
  case MSR_IA32_UCODE_REV:
  case MSR_IA32_MISC_ENABLE:
    value = 0;
    break;
  case MSR_FS_BASE:
  case MSR_GS_BASE:
  case MSR_KERNEL_GS_BASE:
    value = rdmsr(r->rcx);
    break;
  default:
    return 0;
  }
  r->rax = (u32)value;
  r->rdx = value >> 32;
  return 1;
}

static int write_msr(struct vcpu_area *v, struct regs *r) {
  u64 value = (u32)r->rax | r->rdx << 32;
  switch ((u32)r->rcx) {
  case MSR_FS_BASE:
    v->fs_base = value;
    break;
  case MSR_GS_BASE:
    v->gs_base_kernel = value;
    break;
  case MSR_KERNEL_GS_BASE:
    v->gs_base_user = value;
    break;
  case MSR_IA32_CR_PAT:
    return value == PAT_SHOWN;
  case MSR_EFER:
    return value == EFER_SHOWN;
  case MSR_IA32_UCODE_REV:
  case MSR_IA32_MISC_ENABLE:
  case MSR_IA32_APICBASE:
    return 1; /* dropped, as guest_wrmsr does for what a domU may not change */
  default:
    return 0;
  }
  if ((u64)((s64)(value << 16) >> 16) != value) return 0;
  wrmsr(r->rcx, value);
  return 1;
}

static int read_cr(struct vcpu_area *v, unsigned number, u64 *value) {
  switch (number) {
  case 0:
    *value = X86_CR0_SHOWN | (v->cr0_ts ? X86_CR0_TS : 0);
    return 1;
  case 2:
    *value = vcpu_info(v)->arch.cr2;
    return 1;
  case 3:
    *value = v->cr3;
    return 1;
  case 4:
    *value = v->cr4;
    return 1;
  default:
    return 0;
  }
}

static int write_cr(struct vcpu_area *v, unsigned number, u64 value) {
  switch (number) {
  case 0:
    if ((value ^ X86_CR0_SHOWN) & ~X86_CR0_TS) return 0;
    write_cr0_ts(v, value & X86_CR0_TS ? 1 : 0);
    return 1;
  case 2:
    vcpu_info(v)->arch.cr2 = value;
    return 1;
  case 3:
    return !new_baseptr(v, value >> 12);
  case 4:
    return 1; /* pv_fixup_guest_cr4 keeps the bits that are Xen's */
  default:
    return 0;
  }
}

static int read_dr(struct vcpu_area *v, unsigned number, u64 *value) {
  *value = v->dr[number == 4 || number == 5 ? number + 2 : number];
  return 1;
}

static int is_no_cr(unsigned number) {
  return number == 1 || (number >= 5 && number != 8);
}

/* Two-byte opcodes. Returns 0 for #GP, -1 when another exception was injected. */
static int emulate_0f(struct vcpu_area *v, struct regs *r, struct insn *i) {
  u8 opcode = next(i);
  switch (opcode) {
  case 0x01: {
    u8 modrm = next(i);
    if (modrm != 0xd1) return 0; /* xsetbv */
    if ((u32)r->rcx || !(r->rax & 1)) return 0;
    v->xcr0 = (u32)r->rax | r->rdx << 32;
    v->pending |= PENDING_XCR0;
    return 1;
  }
  case 0x06:
    write_cr0_ts(v, 0);
    return 1; /* clts */
  case 0x08:
  case 0x09:
    return 1; /* invd, wbinvd: no cache to lose */
  case 0x30:
    return write_msr(v, r);
  case 0x32:
    return read_msr(v, r);
  case 0x20:
  case 0x21:
  case 0x22: {
    u8 modrm = next(i);
    unsigned number = (modrm >> 3 & 7) | (i->rex & 4 ? 8 : 0);
    if (opcode != 0x21 && is_no_cr(number)) {
      inject_exception(v, r, 6, 0);
      return -1;
    }
    u64 *target = gpr(r, (modrm & 7) | (i->rex & 1 ? 8 : 0));
    if (opcode == 0x20) return read_cr(v, number, target);
    if (opcode == 0x21) return number < 8 && read_dr(v, number, target);
    return write_cr(v, number, *target);
  }
  case 0x23: {
    u8 modrm = next(i);
    u64 args[6] = {modrm >> 3 & 7, *gpr(r, (modrm & 7) | (i->rex & 1 ? 8 : 0)), 0, 0, 0, 0};
    return !leave_to_hypervisor(v, __HYPERVISOR_set_debugreg, args);
  }
  default:
    return 0;
  }
}

int emulate_privileged(struct vcpu_area *v, struct regs *r) {
  struct insn i;
  int done;
  fetch(&i, r->rip);
  u8 opcode = next(&i);
  for (; opcode == 0x66 || opcode == 0xf2 || opcode == 0xf3 || opcode == 0x2e || opcode == 0x3e;
       opcode = next(&i))
    if (opcode == 0x66) i.operand16 = 1;
  if ((opcode & 0xf0) == 0x40) {
    i.rex = opcode;
    opcode = next(&i);
  }
  unsigned wide = i.operand16 ? 2 : 4;
  switch (opcode) {
  case 0xe4:
    done = io_allowed(v) && port_in(r, next(&i), 1);
    break;
  case 0xe5:
    done = io_allowed(v) && port_in(r, next(&i), wide);
    break;
  case 0xec:
    done = io_allowed(v) && port_in(r, r->rdx, 1);
    break;
  case 0xed:
    done = io_allowed(v) && port_in(r, r->rdx, wide);
    break;
  case 0xe6:
  case 0xe7:
    next(&i);
    done = io_allowed(v);
    break;
  case 0xee:
  case 0xef:
  /* cli and sti leave the upcall mask alone (emul-priv-op.c, "un-mirror virtualized state"). */
  case 0xfa:
  case 0xfb:
    done = io_allowed(v);
    break;
  case 0x0f:
    done = emulate_0f(v, r, &i);
    break;
  default:
    done = 0;
  }
  if (done < 0) return 1;
  if (!done || i.position > i.length) return 0;
  r->rip += i.position;
  return 1;
}

/* ud2a; .ascii "xen"; cpuid: XEN_EMULATE_PREFIX (public/arch-x86/xen.h). */
int emulate_forced_cpuid(struct vcpu_area *v, struct regs *r) {
  static const u8 signature[FORCED_CPUID_SIZE] = {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2};
  u8 bytes[FORCED_CPUID_SIZE];
  if (copy_from_guest(bytes, r->rip, sizeof bytes)) return 0;
  for (unsigned i = 0; i < sizeof bytes; i++)
    if (bytes[i] != signature[i]) return 0;
  u32 a = r->rax, b, c = r->rcx, d;
  /* The engine answers with the table that the hypervisor gave it. */
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  r->rax = a;
  r->rbx = b;
  r->rcx = c;
  r->rdx = d;
  r->rip += FORCED_CPUID_SIZE;
  return 1;
}
