/*
 * vCPUs that run at the same time: the lock of what they share, the way out to the hypervisor, and flushes of
 * each other's TLBs. A domain with one vCPU, or whose vCPUs take turns outside ring 0, never waits here.
 */
#include "smp.h"

static inline void relax(void) {
  __asm__ volatile("pause" ::: "memory");
}

static u64 nr_vcpus(void) {
  u64 nr = DOMAIN->nr_vcpus;
  return nr < MAX_VCPUS ? nr : MAX_VCPUS;
}

void flush_if_asked(struct vcpu_area *v) {
  u64 asked = __atomic_load_n(&v->flush_requests, __ATOMIC_ACQUIRE);
  if (likely(asked == v->flush_done)) return;
  /* Whoever asks has said for what before; nothing is left of that if it was done with an earlier request. */
  u64 what = __atomic_exchange_n(&v->flush_wanted, FLUSH_NOTHING, __ATOMIC_SEQ_CST);
  if (what == FLUSH_EVERYTHING)
    load_cr3(v->cr3);
  else if (what != FLUSH_NOTHING)
    invlpg(what);
  __atomic_store_n(&v->flush_done, asked, __ATOMIC_RELEASE);
}

/* Whoever waits does what the holder may wait for. */
void lock(struct vcpu_area *v) {
  if (DOMAIN->nr_vcpus == 1) return;
  while (__atomic_exchange_n(&DOMAIN->lock, 1, __ATOMIC_ACQUIRE))
    do {
      relax();
      flush_if_asked(v);
    } while (__atomic_load_n(&DOMAIN->lock, __ATOMIC_RELAXED));
  v->holds_lock = 1;
}

void unlock(struct vcpu_area *v) {
  if (!v->holds_lock) return;
  v->holds_lock = 0;
  __atomic_store_n(&DOMAIN->lock, 0, __ATOMIC_RELEASE);
}

/*
 * A vCPU that is outside has to flush before it runs guest code again, but nobody waits for it. A full
 * barrier ends that: of a request and the end of being outside, one sees the other.
 */
void go_outside(struct vcpu_area *v) {
  __atomic_store_n(&v->outside, 1, __ATOMIC_RELEASE);
}
void come_back(struct vcpu_area *v) {
  __atomic_exchange_n(&v->outside, 0, __ATOMIC_SEQ_CST);
  flush_if_asked(v);
}

void exit_to_hypervisor(struct vcpu_area *v, u64 reason) {
  /* The hypervisor takes the lock itself. */
  u64 held = v->holds_lock;
  if (unlikely(held)) unlock(v);
  v->exit_reason = reason;
  go_outside(v);
  __asm__ volatile("outb %%al, %0" ::"i"(EXIT_PORT) : "memory");
  come_back(v);
  if (unlikely(held)) lock(v);
}

void send_kick(u64 id) {
  /* WRMSR to the x2APIC does not wait for the writes before it. */
  __asm__ volatile("mfence; lfence" ::: "memory");
  wrmsr(MSR_X2APIC_ICR, id << 32 | KICK_VECTOR);
}

static u64 request_flush(struct vcpu_area *v, u64 what) {
  u64 wanted = __atomic_load_n(&v->flush_wanted, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&v->flush_wanted, &wanted, both_flushes(wanted, what), 0,
                                      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return __atomic_add_fetch(&v->flush_requests, 1, __ATOMIC_SEQ_CST);
}

/* Returns when every vCPU of the mask has flushed that of its TLB, or will before it runs guest code. */
static void shoot_down(struct vcpu_area *v, u64 mask, u64 what) {
  u64 wanted[MAX_VCPUS];
  mask &= (1ul << nr_vcpus()) - 1;
  mask &= ~(1ul << v->id);
  for (u64 id = 0; id < MAX_VCPUS; id++) {
    if (!(mask >> id & 1)) continue;
    wanted[id] = request_flush(area_of(id), what);
    if (__atomic_load_n(&area_of(id)->outside, __ATOMIC_SEQ_CST))
      mask &= ~(1ul << id);
    else
      send_kick(id);
  }
  for (u64 id = 0; id < MAX_VCPUS; id++) {
    if (!(mask >> id & 1)) continue;
    struct vcpu_area *other = area_of(id);
    while ((s64)(__atomic_load_n(&other->flush_done, __ATOMIC_ACQUIRE) - wanted[id]) < 0 &&
           !__atomic_load_n(&other->outside, __ATOMIC_ACQUIRE)) {
      relax();
      flush_if_asked(v);
    }
  }
}

/* PENDING_FLUSH_ALL and _OTHERS; returns what is left to do for the vCPU itself. */
u64 flush_others(struct vcpu_area *v, u64 pending) {
  u64 mask = v->flush_mask, what = v->flush_what;
  v->flush_mask = 0;
  v->flush_what = FLUSH_NOTHING;
  if (!(pending & PENDING_FLUSH_ALL)) {
    shoot_down(v, mask, what);
    return 0;
  }
  if (DOMAIN->flags & DOMAIN_LAPIC) {
    __atomic_fetch_add(&DOMAIN->flush_clock, 1, __ATOMIC_SEQ_CST);
    shoot_down(v, ~0ul, FLUSH_EVERYTHING);
  } else
    exit_to_hypervisor(v, MONITOR_EXIT_FLUSH_ALL);
  return PENDING_CR3;
}

void kick_pollers(struct vcpu_area *v) {
  if (!(DOMAIN->flags & DOMAIN_LAPIC)) return;
  for (u64 id = 0; id < nr_vcpus(); id++)
    if (id != v->id && __atomic_load_n(&area_of(id)->polling, __ATOMIC_SEQ_CST)) send_kick(id);
}
