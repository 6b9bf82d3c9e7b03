/* Work for a guest, timed by the guest's own clock: prints "NAME NANOSECONDS". One static program for every
 * guest. `guest-work NAME 20` does a twentieth of it, for guests that would take minutes. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int parts = 1;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void wait_for(pid_t pid) {
  int status;
  if (waitpid(pid, &status, 0) != pid || status != 0) fail("waitpid");
}

static void run_program(const char *program, char *const argv[]) {
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    execv(program, argv);
    _exit(127);
  }
  wait_for(pid);
}

static void work_fork_exec(void) {
  char *argv[] = {"guest-work", "nothing", NULL};
  for (int i = 0; i < 200 / parts; i++)
    run_program("/proc/self/exe", argv);
}

static void work_syscall(void) {
  for (int i = 0; i < 1000000 / parts; i++)
    syscall(SYS_getppid);
}

static void shell(const char *command) {
  char *argv[] = {"sh", "-c", (char *)command, NULL};
  run_program("/bin/sh", argv);
}

static void work_md5(void) {
  shell("dd if=/dev/zero bs=1M count=48 2>/dev/null | md5sum | grep -q ^f6a7b2f7");
}

static void work_gzip(void) {
  shell("cat /bin/busybox /bin/busybox | gzip -c >/dev/null");
}

/* First touches: a page fault and a page-table write each. */
static void work_page_fault(void) {
  const size_t bytes = (48u << 20) / (size_t)parts & ~4095ul;
  for (int round = 0; round < 2; round++) {
    volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    for (size_t at = 0; at < bytes; at += 4096)
      memory[at] = 1;
    munmap((void *)memory, bytes);
  }
}

/* Two processes that take turns: a system call and an address-space switch each way. */
static void work_switch(void) {
  int there[2], back[2];
  char byte = 0;
  const int turns = 10000 / parts;
  if (pipe(there) || pipe(back)) fail("pipe");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    for (int i = 0; i < turns; i++)
      if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  for (int i = 0; i < turns; i++)
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
  wait_for(pid);
}

static const struct {
  const char *name;
  void (*work)(void);
} works[] = {
    {"fork-exec", work_fork_exec}, {"syscall", work_syscall},       {"md5", work_md5},
    {"gzip", work_gzip},           {"page-fault", work_page_fault}, {"switch", work_switch},
};

static uint64_t now_ns(void) {
  struct timespec at;
  if (clock_gettime(CLOCK_MONOTONIC, &at)) fail("clock_gettime");
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "nothing")) return 0;
  if (argc == 3) parts = atoi(argv[2]) > 0 ? atoi(argv[2]) : 1;
  for (size_t i = 0; argc >= 2 && i < sizeof(works) / sizeof(works[0]); i++) {
    if (strcmp(argv[1], works[i].name)) continue;
    uint64_t start = now_ns();
    works[i].work();
    printf("%s %llu\n", works[i].name, (unsigned long long)(now_ns() - start));
    return 0;
  }
  fprintf(stderr, "usage: guest-work NAME [PARTS]\n");
  return 2;
}
