/* A CPU and its memory belong to the thread that runs it: nothing to lock. */
#ifndef QEMU_MAIN_LOOP_H
#define QEMU_MAIN_LOOP_H
#define qemu_mutex_lock_iothread() ((void)0)
#define qemu_mutex_unlock_iothread() ((void)0)
#define qemu_mutex_iothread_locked() true
#define QEMU_IOTHREAD_LOCK_GUARD() ((void)0)

/* For deciding how large a TLB should be: some milliseconds are exact enough. */
static inline int64_t get_clock_realtime(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}
#endif
