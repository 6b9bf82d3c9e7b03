/*
 * Rule: no hypercall, whatever its number and arguments, does more than to answer, or to end its own domain.
 * The command line says how: "seed=1 count=100000", "wild=1" for calls that may end this kernel too,
 * "steady=1" to leave out what depends on time, so that all answers, in memory too, are the same for the same
 * seed, "trace=5000" to print every call from that one on.
 */
#include "fuzz.h"

#define PROGRESS 10000
/* Calls between two looks at all that a call may have written to. */
#define LOOK 64
#define NR_COUNTED 64

extern char nmi_callback[];

const char test_title[] = "Random hypercalls";
bool wild, steady;
static bool tracing;
static ulong answers = DIGEST_OF_NOTHING, made[NR_COUNTED + 1], accepted[NR_COUNTED + 1], traps;
static vcpu_info_t *vcpu;
static uint8_t spare_stack[4 * PAGE_SIZE] __attribute__((aligned(4096)));

/* vcpu_time_info may be overwritten when wild: one look, right or wrong. */
ulong now(void) {
  if (steady) return 1000000000;
  const volatile vcpu_time_info_t *info = &shared_info->vcpu_info[0].time;
  uint64_t delta = rdtsc() - info->tsc_timestamp;
  int8_t shift = info->tsc_shift;
  delta = shift >= 0 ? delta << (shift & 63) : delta >> (-shift & 63);
  return info->system_time + (uint64_t)(((unsigned __int128)delta * info->tsc_to_system_mul) >> 32);
}

static void acknowledge(void) {
  vcpu->evtchn_upcall_pending = 0;
  vcpu->evtchn_pending_sel = 0;
  memset(shared_info->evtchn_pending, 0, sizeof(shared_info->evtchn_pending));
}

/* Runs fn(arg), which may trap. A wild kernel may trap anywhere: there it is the whole step that is tried. */
void attempt(void (*fn)(ulong), ulong arg) {
  struct regs regs;
  if (wild)
    fn(arg);
  else if (catch_kernel(fn, arg, &regs))
    traps++;
}

/* True: go on where it happened. */
static bool handle(struct regs *regs) {
  switch (regs->vec) {
  case EVENT_UPCALL:
    acknowledge();
    return true;
  case NMI_CALLBACK:
    return true;
  case DB:
    HYPERVISOR_set_debugreg(7, 0);
    return true;
  default:
    return false;
  }
}

static void upcall(struct regs *regs) {
  handle(regs);
}

static void recover(void) {
  callback_register_t nmi = {.type = CALLBACKTYPE_nmi, .address = (ulong)nmi_callback};
  traps_init();
  HYPERVISOR_callback_op(CALLBACKOP_register, &nmi);
}

/* Something will wake the vCPU, whatever became of its timers and ports. */
static void prepare_to_sleep(void) {
  static vcpu_set_periodic_timer_t tick = {.period_ns = 10000000};
  memset(shared_info->evtchn_mask, 0, sizeof(shared_info->evtchn_mask));
  acknowledge();
  evtchn_bind_virq_t bind = {.virq = VIRQ_TIMER, .vcpu = 0};
  HYPERVISOR_event_channel_op(EVTCHNOP_bind_virq, &bind);
  HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &tick);
  HYPERVISOR_set_timer_op(now() + 50000);
  vcpu->evtchn_upcall_mask = 0;
}

static bool changes_entries(ulong nr) {
  return nr == __HYPERVISOR_set_trap_table || nr == __HYPERVISOR_set_callbacks ||
         nr == __HYPERVISOR_callback_op || nr == __HYPERVISOR_nmi_op || nr == __HYPERVISOR_stack_switch ||
         nr == __HYPERVISOR_multicall;
}

static void make_call(ulong at) {
  const struct call *call = (const struct call *)at;
  const ulong *a = call->args;
  /* Whether a mapping that is gone can still be used is up to the CPU, and to how much the hypervisor
   * flushes. */
  if (steady) mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
  long rc = hypercall(call->nr, a[0], a[1], a[2], a[3], a[4]);
  ulong index = call->nr < NR_COUNTED ? call->nr : NR_COUNTED;
  if (tracing) print("\n%lu(%lx, %lx, %lx, %lx): %lx", call->nr, a[0], a[1], a[2], a[3], (ulong)rc);
  made[index]++;
  answers = digest_word(answers, (ulong)rc ^ call->nr);
  if (steady) answers = digest_arguments(answers);
  if (rc >= 0 || rc < -4095) accepted[index]++;
}

STUB(landing, "int3");

/* An iret of a random frame that is valid enough to come back from. */
static void make_iret(void) {
  static const ulong code[] = {FLAT_KERNEL_CS64, FLAT_USER_CS64, FLAT_USER_CS32, 0xe030, 0xe031, 0, 3};
  struct regs context = {0}, regs;
  context.cs = (uint16_t)(one_in(4) ? draw() : PICK(code));
  context.ss = one_in(4) ? draw() : FLAT_USER_SS64;
  context.rflags = one_in(2) ? draw() : X86_EFLAGS_IF | 2;
  context.rip = (context.cs & 3) == 3 ? user_address((void *)landing) : (ulong)landing;
  context.rsp = (ulong)spare_stack + sizeof(spare_stack) - 8 * below(64);
  if (one_in(4) && (context.cs & 3) == 3) context.rip = value();
  set_user_return();
  mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0);
  catch_iret(&context, one_in(2) ? 0 : draw(), &regs);
}

static void step(ulong unused) {
  (void)unused;
  struct call call;
  if (one_in(16)) refill();
  if (one_in(100) && !wild) make_iret();
  draw_call(&call);
  if (call.nr == __HYPERVISOR_sched_op && !wild) prepare_to_sleep();
  if (changes_entries(call.nr) && !wild)
    vcpu->evtchn_upcall_mask = 1;
  else if (one_in(4))
    vcpu->evtchn_upcall_mask = 0;
  attempt(make_call, (ulong)&call);
  if (changes_entries(call.nr)) recover();
}

/* vcpu_info can be moved once: to a page that stays where it is, so that no other call moves it. */
static void move_vcpu_info(void) {
  static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
  vcpu_register_vcpu_info_t op = {.mfn = mfn_of(page), .offset = 64};
  must("register_vcpu_info", HYPERVISOR_vcpu_op(VCPUOP_register_vcpu_info, 0, &op));
  vcpu = (vcpu_info_t *)(page + 64);
}

static void look(void) {
  mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
  answers = digest_memory(answers);
}

void test_main(void) {
  struct regs regs;
  ulong seed = setting("seed=", 1), count = setting("count=", PROGRESS), trace = setting("trace=", ~0ul);
  wild = setting("wild=", 0) != 0;
  steady = setting("steady=", 0) != 0;
  seed_draws(seed);
  vcpu = &shared_info->vcpu_info[0];
  arena_init();
  if (!wild || one_in(2)) move_vcpu_info();
  catch_hook = handle;
  trap_hook = handle;
  upcall_hook = upcall;
  recover();
  for (ulong i = 1; i <= count; i++) {
    tracing = i >= trace;
    if (!wild)
      step(0);
    else if (catch_kernel(step, 0, &regs))
      traps++;
    if (i % LOOK == 0) check_kernel();
    if (steady && i % LOOK == 0) look();
    if (i % PROGRESS == 0 || i == count) print("\nprogress %lu, answers %lx", i, answers);
  }
  for (unsigned i = 0; i <= NR_COUNTED; i++)
    if (made[i]) print("hypercall %u: made %lu, accepted %lu", i, made[i], accepted[i]);
  print("traps: %lu", traps);
}
