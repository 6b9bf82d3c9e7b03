#ifndef SYSEMU_RUNSTATE_H
#define SYSEMU_RUNSTATE_H
enum { SHUTDOWN_CAUSE_GUEST_RESET };
void qemu_system_reset_request(int cause); /* a triple fault; see exec.c */
#endif
