/* Breakpoints in debug registers, set by a debugger on its child: the kernel reaches them through Xen only.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long watched;

__attribute__((noinline)) static void target(void) {
  __asm__ volatile("");
}

static void set_debug_register(pid_t pid, int number, unsigned long value) {
  if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + number * sizeof(long), value))
    perror("PTRACE_POKEUSER");
}

static void report(pid_t pid, const char *what) {
  siginfo_t info;
  int status;
  waitpid(pid, &status, 0);
  if (!WIFSTOPPED(status)) {
    printf("%s: ended with %x\n", what, status);
    return;
  }
  ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  unsigned long dr6 = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg) + 6 * sizeof(long), 0);
  unsigned long rip = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
  printf("%s: signal %d code %d dr6 %lx %s\n", what, info.si_signo, info.si_code, dr6 & 0xe00f,
         rip == (unsigned long)target ? "in target" : "elsewhere");
}

int main(void) {
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    target();
    watched = 42;
    target();
    _exit(7);
  }
  report(pid, "stop");
  set_debug_register(pid, 0, (unsigned long)target);
  set_debug_register(pid, 1, (unsigned long)&watched);
  /* Execution of DR0's address; a write of 8 bytes to DR1's. */
  set_debug_register(pid, 7, 1 | 4 | 0x9u << 20);
  for (int i = 0; i < 3; i++) {
    ptrace(PTRACE_CONT, pid, 0, 0);
    report(pid, "breakpoint");
  }
  ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
  report(pid, "step");
  set_debug_register(pid, 7, 0);
  ptrace(PTRACE_CONT, pid, 0, 0);
  report(pid, "end");
  return 0;
}
