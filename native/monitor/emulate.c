/* Privileged instructions that a PV kernel may execute: xen/arch/x86/pv/emul-priv-op.c. Anything else is its
 * #GP. */
#include "insn.h"

#define SIGNATURE_SIZE 5
#define CPUID_SIZE 2
/* x2APIC and the TSC deadline timer; the APIC, which KVM itself shows: an engine's LAPIC is the monitor's. */
#define CPUID1_ECX_MONITORS_OWN (1u << 21 | 1u << 24)
#define CPUID1_EDX_MONITORS_OWN (1u << 9)
#define X86_CR0_SHOWN 0x80050033ul
#define X86_CR0_TS 8ul

#define MSR_IA32_TSC 0x10
#define MSR_IA32_APICBASE 0x1b
#define MSR_IA32_UCODE_REV 0x8b
#define MSR_IA32_MISC_ENABLE 0x1a0
#define MSR_IA32_CR_PAT 0x277
#define MSR_EFER 0xc0000080
/* guest_wrmsr_xen (xen/arch/x86/traps.c); cpuid leaf 0x40000002 names it. */
#define MSR_XEN_HYPERCALL_PAGE 0x40000000
/* What Xen shows a guest: SCE, LME, LMA, NXE; WB WT UC- UC WC WP as PAT (XEN_MSR_PAT). */
#define EFER_SHOWN 0xd01ul
#define PAT_SHOWN 0x050100070406ul
#define APICBASE_SHOWN 0xfee00900ul
/* guest_misc_enable: fast strings; no BTS, PEBS or xTPR. */
#define MISC_ENABLE_SHOWN 0x801801ul

/* iopl_ok: as it runs outside ring 0, a kernel needs IOPL 1, unless it asked for the architecture's rule. */
static int iopl_ok(struct vcpu_area *v) {
  int architectural = DOMAIN->vm_assist >> VMASST_TYPE_architectural_iopl & 1;
  return v->iopl >= (v->user ? 3u : architectural ? 0u : 1u);
}

/* guest_io_okay: a clear bit allows a port. What cannot be read allows nothing. */
static int port_ok(struct vcpu_area *v, u16 port, unsigned bytes) {
  u8 allowed[2] = {0xff, 0xff};
  if (iopl_ok(v)) return 1;
  if (port + bytes > v->iobitmap_ports) return 0;
  if (copy_from_guest(allowed, v->iobitmap + port / 8, 2) &&
      copy_from_guest(allowed, v->iobitmap + port / 8, 1))
    return 0;
  return !((allowed[0] | allowed[1] << 8) >> (port & 7) & ((1 << bytes) - 1));
}

/* No port belongs to a domU: reads give all ones, but the PIT reads 0, which ends a guest's TSC calibration
 * at once. */
static u64 port_value(u16 port) {
  return (port & ~3) == 0x40 ? 0 : 0xffffffff;
}

static int port_in(struct vcpu_area *v, struct regs *r, u16 port, unsigned bytes) {
  u64 value = port_value(port);
  if (!port_ok(v, port, bytes)) return 0;
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
  case MSR_IA32_MISC_ENABLE:
    value = MISC_ENABLE_SHOWN;
    break;
  case MSR_IA32_UCODE_REV:
  case MSR_XEN_HYPERCALL_PAGE:
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
  case MSR_XEN_HYPERCALL_PAGE:
    v->hypercall[0] = value;
    exit_to_hypervisor(v, MONITOR_EXIT_HYPERCALL_PAGE);
    return !v->hypercall_result;
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

/* mov to or from a control register. Returns 0 for #GP, -1 when another exception was injected. */
static int move_cr(struct vcpu_area *v, struct regs *r, struct insn *i) {
  u8 modrm = next(i);
  unsigned number = (modrm >> 3 & 7) | (i->rex & REX_R ? 8 : 0);
  u64 *target = gpr(r, (modrm & 7) | (i->rex & REX_B ? 8 : 0));
  if (is_no_cr(number)) {
    inject_exception(v, r, TRAP_invalid_op, 0);
    return -1;
  }
  if (v->user) return 0;
  return i->opcode == 0x20 ? read_cr(v, number, target) : write_cr(v, number, *target);
}

static int move_dr(struct vcpu_area *v, struct regs *r, struct insn *i) {
  u8 modrm = next(i);
  unsigned number = modrm >> 3 & 7;
  u64 *target = gpr(r, (modrm & 7) | (i->rex & REX_B ? 8 : 0));
  if (i->rex & REX_R) return 0;
  if (i->opcode == 0x21) return read_dr(v, number, target);
  u64 args[6] = {number, *target, 0, 0, 0, 0};
  return !leave_to_hypervisor(v, __HYPERVISOR_set_debugreg, args);
}

static int xsetbv(struct vcpu_area *v, struct regs *r) {
  __asm__ goto("1: xsetbv\n" EX_TABLE("1b", "refused")::"c"((u32)r->rcx), "a"((u32)r->rax), "d"((u32)r->rdx)
               : "memory"
               : refused);
  v->xcr0 = (u32)r->rax | r->rdx << 32;
  return 1;
refused:
  return 0;
}

/* As move_cr. */
static int emulate_0f(struct vcpu_area *v, struct regs *r, struct insn *i) {
  if (i->opcode == 0x20 || i->opcode == 0x22) return move_cr(v, r, i);
  if (v->user) return 0;
  switch (i->opcode) {
  case 0x01:
    return next(i) == 0xd1 && xsetbv(v, r);
  case 0x06: /* clts */
    write_cr0_ts(v, 0);
    return 1;
  case 0x09: /* wbinvd: no cache to lose */
    return 1;
  case 0x21:
  case 0x23:
    return move_dr(v, r, i);
  case 0x30:
    return write_msr(v, r);
  case 0x32:
    return read_msr(v, r);
  default:
    return 0;
  }
}

static int emulate_one_byte(struct vcpu_area *v, struct regs *r, struct insn *i) {
  unsigned wide = i->operand16 ? 2 : 4;
  switch (i->opcode) {
  case 0xe4:
    return port_in(v, r, next(i), 1);
  case 0xe5:
    return port_in(v, r, next(i), wide);
  case 0xec:
    return port_in(v, r, r->rdx, 1);
  case 0xed:
    return port_in(v, r, r->rdx, wide);
  case 0xe6:
    return port_ok(v, next(i), 1);
  case 0xe7:
    return port_ok(v, next(i), wide);
  case 0xee:
    return port_ok(v, r->rdx, 1);
  case 0xef:
    return port_ok(v, r->rdx, wide);
  case 0xfa: /* cli and sti leave IF and the upcall mask alone */
  case 0xfb:
    return iopl_ok(v);
  default:
    return 0;
  }
}

int emulate_privileged(struct vcpu_area *v, struct regs *r) {
  struct insn i;
  decode(&i, v, r);
  int done = i.two_byte ? emulate_0f(v, r, &i) : emulate_one_byte(v, r, &i);
  if (done < 0) return 1;
  if (!done || i.position > i.length) return 0;
  r->rip += i.position;
  return 1;
}

/* The CPU has fetched the first two bytes: what cannot be read behind them is a fault of the guest's. */
static int read_code(struct vcpu_area *v, struct regs *r, u8 *bytes, u64 at, unsigned size) {
  for (unsigned n = 0; n < size; n++) {
    if (!copy_from_guest(bytes + n, at + n, 1)) continue;
    inject_page_fault(v, r, at + n, 0);
    return 0;
  }
  return 1;
}

static int equal(const u8 *a, const u8 *b, unsigned size) {
  for (unsigned i = 0; i < size; i++)
    if (a[i] != b[i]) return 0;
  return 1;
}

/*
 * emulate_forced_invalid_op (xen/arch/x86/pv/emul-inv-op.c): ud2a; .ascii "xen"; cpuid, XEN_EMULATE_PREFIX of
 * public/arch-x86/xen.h.
 */
int emulate_forced_cpuid(struct vcpu_area *v, struct regs *r) {
  static const u8 signature[SIGNATURE_SIZE] = {0x0f, 0x0b, 'x', 'e', 'n'}, cpuid[CPUID_SIZE] = {0x0f, 0xa2};
  u8 bytes[SIGNATURE_SIZE];
  if (!read_code(v, r, bytes, r->rip, SIGNATURE_SIZE)) return 1;
  if (!equal(bytes, signature, SIGNATURE_SIZE)) return 0;
  if (!read_code(v, r, bytes, r->rip + SIGNATURE_SIZE, CPUID_SIZE)) return 1;
  if (!equal(bytes, cpuid, CPUID_SIZE)) return 0;
  u32 a = r->rax, b, c = r->rcx, d;
  /* The engine answers with the table that the hypervisor gave it. */
  u32 leaf = a;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (leaf == 1) {
    c &= ~CPUID1_ECX_MONITORS_OWN;
    d &= ~CPUID1_EDX_MONITORS_OWN;
  }
  r->rax = a;
  r->rbx = b;
  r->rcx = c;
  r->rdx = d;
  r->rip += SIGNATURE_SIZE + CPUID_SIZE;
  return 1;
}
