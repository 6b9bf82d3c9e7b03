/*
 * Every way for a program to be stopped by the CPU, and what its signal handler is told: signal, si_code,
 * address, vector, error code. A PV kernel sees all of these only through Xen's traps, so they show whether
 * those carry the right values. Static and not position-independent: the addresses are the same wherever it
 * runs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define UNMAPPED ((volatile char *)0x20000000)
#define PAGE ((char *)0x30000000)

static sigjmp_buf back;

static void on_signal(int signal, siginfo_t *info, void *context) {
  const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  int with_address = signal == SIGSEGV && info->si_code > 0 && info->si_code != SI_KERNEL;
  printf(" %s code %d address %lx vector %lld error %llx", strsignal(signal), info->si_code,
         (unsigned long)info->si_addr, regs[REG_TRAPNO], regs[REG_ERR]);
  if (with_address) printf(" cr2 %llx", regs[REG_CR2]);
  printf(" at %s\n", regs[REG_RIP] == (greg_t)(uintptr_t)info->si_addr ? "that address" : "another");
  siglongjmp(back, 1);
}

static void protect(int protection) {
  if (mprotect(PAGE, 4096, protection)) perror("mprotect");
}

static void read_unmapped(void) {
  (void)*UNMAPPED;
}
static void write_unmapped(void) {
  *UNMAPPED = 1;
}
static void call_unmapped(void) {
  ((void (*)(void))(uintptr_t)UNMAPPED)();
}
static void read_null(void) {
  __asm__ volatile("movl 8, %%eax" ::: "eax");
}
static void write_read_only(void) {
  protect(PROT_READ);
  *(volatile char *)PAGE = 1;
}
static void read_protected(void) {
  protect(PROT_NONE);
  (void)*(volatile char *)PAGE;
}
static void call_data(void) {
  protect(PROT_READ | PROT_WRITE);
  PAGE[0] = (char)0xc3;
  ((void (*)(void))PAGE)();
}
static void read_kernel(void) {
  (void)*(volatile char *)0xffffffff81000000;
}
static void read_hypervisor(void) {
  (void)*(volatile char *)0xffff800000001000;
}
static void read_non_canonical(void) {
  (void)*(volatile char *)0x8000000000000000;
}
static void push_non_canonical(void) {
  __asm__ volatile("mov %%rsp, %%rbx; movabs $0x7000000000000000, %%rsp; push %%rax; mov %%rbx, %%rsp" ::
                       : "rbx");
}
static void do_hlt(void) {
  __asm__ volatile("hlt");
}
static void do_cli(void) {
  __asm__ volatile("cli");
}
static void do_in(void) {
  __asm__ volatile("inb $0x60, %%al" ::: "eax");
}
static void do_out(void) {
  __asm__ volatile("outb %al, $0x80");
}
static void do_read_cr3(void) {
  __asm__ volatile("mov %%cr3, %%rax" ::: "rax");
}
static void do_wrmsr(void) {
  __asm__ volatile("wrmsr" ::"a"(0), "d"(0), "c"(0xc0000080));
}
static void do_lgdt(void) {
  __asm__ volatile("lgdt 0x1000");
}
static void do_iret(void) {
  __asm__ volatile("mov %%rsp, %%rbx; push $0; push %%rbx; pushf; push $0x10; push $0; iretq" ::: "rbx");
}
static void do_bad_segment(void) {
  __asm__ volatile("mov %%ax, %%ds" ::"a"(0xfff8));
}
static void do_int3(void) {
  __asm__ volatile("int3");
}
static void do_int_gate(void) {
  __asm__ volatile("int $0x31");
}
static void do_int_double_fault(void) {
  __asm__ volatile("int $8");
}
static void do_int_xen(void) {
  __asm__ volatile("int $0x82");
}
static void do_ud2(void) {
  __asm__ volatile("ud2");
}
static void do_bad_opcode(void) {
  __asm__ volatile(".byte 0x06");
}
static void do_lock_register(void) {
  __asm__ volatile(".byte 0xf0, 0x89, 0xc0");
}
static void do_step(void) {
  __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory", "cc");
}
static void do_divide(void) {
  __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::"a"(1), "d"(0) : "ecx");
}
static void do_divide_overflow(void) {
  __asm__ volatile("mov $1, %%ecx; div %%ecx" ::"a"(0), "d"(2) : "ecx");
}
static void sse_divide(void) {
  feenableexcept(FE_DIVBYZERO);
  volatile double zero = 0, result = 1 / zero;
  (void)result;
}
static void sse_invalid(void) {
  feenableexcept(FE_INVALID);
  volatile double zero = 0, result = zero / zero;
  (void)result;
}
static void sse_overflow(void) {
  feenableexcept(FE_OVERFLOW);
  volatile double big = 1e308, result = big * 10;
  (void)result;
}
static void x87_divide(void) {
  unsigned short control = 0x037f & ~4;
  __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(control));
}
static void read_past_file(void) {
  int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
  if (fd < 0 || ftruncate(fd, 100)) perror("file");
  volatile char *file = mmap((void *)0x40000000, 8192, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
  close(fd);
  (void)file[5000];
}

#define CASE(name)                                                                                           \
  { #name, name }
struct trial {
  const char *name;
  void (*run)(void);
};
static const struct trial common[] = {
    CASE(read_unmapped),   CASE(write_unmapped),
    CASE(call_unmapped),   CASE(read_null),
    CASE(write_read_only), CASE(read_protected),
    CASE(call_data),       CASE(read_kernel),
    CASE(read_hypervisor), CASE(read_non_canonical),
    CASE(do_hlt),          CASE(do_cli),
    CASE(do_in),           CASE(do_out),
    CASE(do_read_cr3),     CASE(do_wrmsr),
    CASE(do_lgdt),         CASE(do_iret),
    CASE(do_bad_segment),  CASE(do_int3),
    CASE(do_int_gate),     CASE(do_int_double_fault),
    CASE(do_int_xen),      CASE(do_ud2),
    CASE(do_bad_opcode),   CASE(do_step),
    CASE(do_divide),       CASE(do_divide_overflow),
    CASE(x87_divide),      CASE(read_past_file),
    {NULL, NULL},
};
static const struct trial rare[] = {
    CASE(push_non_canonical), CASE(do_lock_register), CASE(sse_divide),
    CASE(sse_invalid),        CASE(sse_overflow),     {NULL, NULL},
};

/* Timer signals interrupt arithmetic whose state lives in SSE and x87 registers: it must survive. */
static volatile int ticks;
static void on_tick(int signal) {
  volatile double noise = signal * 3.7 + ticks;
  noise *= noise;
  ticks++;
}

static void interrupted_arithmetic(void) {
  struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  double sse = 1;
  long double x87 = 1;
  signal(SIGALRM, on_tick);
  setitimer(ITIMER_REAL, &often, NULL);
  for (long i = 1; ticks < 50 || i % 1000000; i++) {
    sse = sse * 1.0000001 + 1e-9;
    x87 = x87 * 1.0000001L + 1e-9L;
    if (i % 1000000 == 0) sse = 1, x87 = 1;
    if (i % 1000000 == 999999) {
      static double first;
      static long double first_x87;
      if (!first) first = sse, first_x87 = x87;
      if (first != sse || first_x87 != x87) printf("arithmetic changed: %a %La\n", sse, x87);
    }
  }
  setitimer(ITIMER_REAL, &never, NULL);
  printf("interrupted arithmetic done\n");
}

static void try(const struct trial *trial) {
  printf("%s:", trial->name);
  fflush(stdout);
  if (!sigsetjmp(back, 1)) {
    trial->run();
    printf(" nothing\n");
  }
  fedisableexcept(FE_ALL_EXCEPT);
  __asm__ volatile("fninit");
}

int main(int argc, char **argv) {
  const int is_rare = argc > 1 && !strcmp(argv[1], "rare");
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  stack_t stack = {.ss_size = 65536};
  stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sigaltstack(&stack, NULL);
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
  for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
    sigaction(signals[i], &action, NULL);
  mmap(PAGE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  for (const struct trial *trial = is_rare ? rare : common; trial->name; trial++)
    try(trial);
  if (!is_rare) interrupted_arithmetic();
  return 0;
}
