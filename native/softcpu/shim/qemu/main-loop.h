/* A CPU and its memory belong to the thread that runs it: nothing to lock. */
#ifndef QEMU_MAIN_LOOP_H
#define QEMU_MAIN_LOOP_H
#define qemu_mutex_lock_iothread() ((void)0)
#define qemu_mutex_unlock_iothread() ((void)0)
#define qemu_mutex_iothread_locked() true
#define QEMU_IOTHREAD_LOCK_GUARD() ((void)0)

#endif
