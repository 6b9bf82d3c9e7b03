/* The life of a CPU, and its state as the caller sees it. */
#include "engine.h"

#include "accel/tcg/internal.h"
#include "target/i386/tcg/helper-tcg.h"

enum { DEFAULT_CODE_MIB = 256, MAX_CODE_MIB = 1024, MIN_CODE_MIB = 1 };

static uint32_t living;

static const CPUClass cpu_class = {.tcg_ops = &x86_ops};

static const char *refuse(const softcpu_config *config) {
  if (config->sibling) return NULL;
  if (!config->ram || (uintptr_t)config->ram % TARGET_PAGE_SIZE) return "RAM is not page aligned";
  if (!config->ram_bytes || config->ram_bytes % TARGET_PAGE_SIZE) return "RAM is not whole pages";
  if (config->ram_bytes > SOFTCPU_MAX_RAM) return "more RAM than a soft CPU can have";
  if (config->code_mib > MAX_CODE_MIB) return "more room for code than a soft CPU can use";
  return NULL;
}

/* What a machine has once. */
static bool build_machine(struct softcpu *cpu, const softcpu_config *config) {
  uint32_t code_mib = config->code_mib ? MAX(config->code_mib, MIN_CODE_MIB) : DEFAULT_CODE_MIB;
  cpu->exit_port = config->exit_port;
  cpu->ram = config->ram;
  cpu->ram_bytes = config->ram_bytes;
  cpu->tcg = softcpu_new_context();
  cpu->void_page = aligned_alloc(TARGET_PAGE_SIZE, TARGET_PAGE_SIZE);
  if (!cpu->tcg || !cpu->void_page) return false;
  memset(cpu->void_page, 0xff, TARGET_PAGE_SIZE);
  if (!block_cache_init(cpu, config->ram_bytes, (size_t)code_mib << 20)) return false;
  cpu->blocks->marks = config->code_marks;
  return true;
}

static void join(struct softcpu *cpu, struct softcpu *sibling) {
  cpu->exit_port = sibling->exit_port;
  cpu->ram = sibling->ram;
  cpu->ram_bytes = sibling->ram_bytes;
  cpu->tcg = sibling->tcg;
  cpu->void_page = sibling->void_page;
  cpu->blocks = sibling->blocks;
  cpu->next = sibling->next;
  sibling->next = cpu;
}

static bool build(struct softcpu *cpu, const softcpu_config *config) {
  CPUState *cs = softcpu_cs(cpu);
  cpu->error = "";
  cpu->next = cpu;
  if (config->sibling)
    join(cpu, config->sibling);
  else if (!build_machine(cpu, config))
    return false;
  if (!jumps_create(cpu) || !tlb_create(cpu)) return false;

  cs->cc = (CPUClass *)&cpu_class;
  cs->env_ptr = &cpu->x86.env;
  cs->icount_decr_ptr = &cpu->x86.neg.icount_decr;
  cs->exception_index = -1;
  cs->cflags_next_tb = -1;
  cs->can_do_io = 1;
  cs->nr_cores = cs->nr_threads = 1;
  QTAILQ_INIT(&cs->breakpoints);
  QTAILQ_INIT(&cs->watchpoints);
  softcpu_enter(cpu);
  x86_reset(cpu);
  return true;
}

softcpu *softcpu_create(const softcpu_config *config, const char **error) {
  const char *ignored;
  if (!error) error = &ignored;
  *error = refuse(config);
  if (*error || !softcpu_start_translator(error)) return NULL;
  if (qatomic_fetch_inc(&living) >= SOFTCPU_MAX_CPUS) {
    qatomic_dec(&living);
    *error = "too many soft CPUs at once";
    return NULL;
  }
  struct softcpu *cpu = aligned_alloc(64, ROUND_UP(sizeof(*cpu), 64));
  if (cpu) memset(cpu, 0, sizeof(*cpu));
  if (cpu && build(cpu, config)) return cpu;
  *error = "out of memory";
  if (cpu)
    softcpu_destroy(cpu);
  else
    qatomic_dec(&living);
  return NULL;
}

static void leave(struct softcpu *cpu) {
  struct softcpu *before = cpu;
  while (before->next != cpu)
    before = before->next;
  before->next = cpu->next;
}

void softcpu_destroy(softcpu *cpu) {
  if (!cpu) return;
  if (softcpu_cs(cpu)->env_ptr) {
    softcpu_enter(cpu);
    cpu_breakpoint_remove_all(softcpu_cs(cpu), BP_CPU);
    cpu_watchpoint_remove_all(softcpu_cs(cpu), BP_CPU);
  }
  tlb_free(cpu);
  if (cpu->next == cpu) {
    block_cache_free(cpu);
    softcpu_free_context(cpu->tcg);
    free(cpu->void_page);
  }
  leave(cpu);
  free(cpu->jumps);
  free(cpu->cpuid);
  free(cpu->breakpoints);
  free(cpu);
  current_cpu = NULL;
  tcg_ctx = NULL;
  qatomic_dec(&living);
}

bool softcpu_set_cpuid(softcpu *cpu, const softcpu_cpuid *entries, size_t count) {
  if (count > SOFTCPU_MAX_CPUID) return false;
  softcpu_cpuid *copy = g_new(softcpu_cpuid, count + 1);
  memcpy(copy, entries, count * sizeof(*copy));
  free(cpu->cpuid);
  cpu->cpuid = copy;
  cpu->cpuid_count = count;
  return true;
}

uint64_t *softcpu_gpr(softcpu *cpu) {
  return cpu->x86.env.regs;
}
int softcpu_cpl(const softcpu *cpu) {
  return cpu->x86.env.hflags & HF_CPL_MASK;
}

void softcpu_invalidate(softcpu *cpu, uint64_t gpa, uint64_t len) {
  if (gpa >= cpu->ram_bytes) return;
  uint64_t end = gpa + MIN(len, cpu->ram_bytes - gpa);
  uint8_t *marks = cpu->blocks->marks;
  softcpu_enter(cpu);
  block_invalidate_range(cpu, gpa, end);
  for (uint64_t page = gpa >> TARGET_PAGE_BITS; marks && page << TARGET_PAGE_BITS < end; page++)
    if (!cpu->blocks->pages[page]) qatomic_set(&marks[page], 0);
}

void softcpu_flush_tlb(softcpu *cpu) {
  softcpu_enter(cpu);
  tlb_flush(softcpu_cs(cpu));
}

void softcpu_invlpg(softcpu *cpu, uint64_t gva) {
  softcpu_enter(cpu);
  tlb_flush_page(softcpu_cs(cpu), gva);
}
