/* What the translator's sources refer to and this CPU does not have: SVM, SMM,
 * an APIC, other CPUs, MMIO. */
#include "engine.h"

#include <sys/random.h>

#include "exec/helper-proto.h"
#include "hw/i386/apic.h"
#include "target/i386/tcg/helper-tcg.h"

bool tcg_allowed = true;
CPUTailQ cpus = QTAILQ_HEAD_INITIALIZER(cpus);
int qemu_icache_linesize = 64;
int qemu_icache_linesize_log = 6;

/* EFER.SVME cannot be set, and there is no SMM: their instructions are
 * undefined before they get here. */
static G_NORETURN void undefined(CPUX86State *env) {
  raise_exception(env, EXCP06_ILLOP);
}
void helper_vmrun(CPUX86State *env, int aflag, int next_eip_addend) {
  undefined(env);
}
void helper_vmmcall(CPUX86State *env) {
  undefined(env);
}
void helper_vmload(CPUX86State *env, int aflag) {
  undefined(env);
}
void helper_vmsave(CPUX86State *env, int aflag) {
  undefined(env);
}
void helper_stgi(CPUX86State *env) {
  undefined(env);
}
void helper_clgi(CPUX86State *env) {
  undefined(env);
}
void helper_rsm(CPUX86State *env) {
  undefined(env);
}
void helper_svm_check_intercept(CPUX86State *env, uint32_t type) {}
void helper_svm_check_io(CPUX86State *env, uint32_t port, uint32_t param, uint32_t next_eip_addend) {}
void cpu_svm_check_intercept_param(CPUX86State *env, uint32_t type, uint64_t param, uintptr_t retaddr) {}
bool cpu_svm_has_intercept(CPUX86State *env, uint32_t type) {
  return false;
}
void cpu_vmexit(CPUX86State *env, uint32_t code, uint64_t info, uintptr_t retaddr) {
  undefined(env);
}

/* No APIC: MSR_APICBASE reads as 0, CR8 too. */
uint64_t cpu_get_apic_base(DeviceState *apic) {
  return 0;
}
void cpu_set_apic_base(DeviceState *apic, uint64_t value) {}
uint8_t cpu_get_apic_tpr(DeviceState *apic) {
  return 0;
}
void cpu_set_apic_tpr(DeviceState *apic, uint8_t value) {}

/* Only CR8 would. */
void cpu_interrupt(CPUState *cs, int mask) {}
void cpu_reset_interrupt(CPUState *cs, int mask) {}

int cpu_asidx_from_attrs(CPUState *cs, MemTxAttrs attrs) {
  return 0;
}
bool qemu_cpu_is_self(CPUState *cs) {
  return true;
}

/* RDRAND. */
int qemu_guest_getrandom(void *buffer, size_t length, Error **errp) {
  return getrandom(buffer, length, GRND_NONBLOCK) == (ssize_t)length ? 0 : -1;
}

/* Only with several CPUs in one address space, MMIO, SVM's nested state, or
 * logging. */
#define UNREACHABLE(result, name, ...)                                                                       \
  result name(__VA_ARGS__) {                                                                                 \
    softcpu_bug(#name, __FILE__, __LINE__);                                                                  \
  }
UNREACHABLE(void, handle_even_inj, CPUX86State *env, int vector, int is_int, int error_code, int is_hw,
            int rm)
UNREACHABLE(uint32_t, x86_ldl_phys, CPUState *cs, hwaddr address)
UNREACHABLE(void, x86_stl_phys, CPUState *cs, hwaddr address, uint32_t value)
UNREACHABLE(void, cpu_abort, CPUState *cs, const char *format, ...)
UNREACHABLE(void, error_report, const char *format, ...)
UNREACHABLE(void, g_string_append_printf, GString *text, const char *format, ...)
UNREACHABLE(const char *, error_get_pretty, const Error *error)
UNREACHABLE(void, error_free, Error *error)
UNREACHABLE(const char *, lookup_symbol, target_ulong address)
UNREACHABLE(void, target_disas, FILE *out, CPUState *cs, target_ulong address, target_ulong size)
