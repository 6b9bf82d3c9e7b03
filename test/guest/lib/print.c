/* Formatting, lines on the console, and the memory functions that the compiler may call. */
#include <stdarg.h>
#include "test.h"

void *memset(void *to, int c, size_t n) {
  void *at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(c) : "memory");
  return to;
}

void *memcpy(void *to, const void *from, size_t n) {
  void *at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
  return to;
}

int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *p = a, *q = b;
  for (; n; n--, p++, q++)
    if (*p != *q) return *p - *q;
  return 0;
}

size_t strlen(const char *s) {
  size_t n = 0;
  while (s[n])
    n++;
  return n;
}

struct sink {
  char *at, *end;
};

static void put(struct sink *sink, char c) {
  if (sink->at < sink->end) *sink->at++ = c;
}

static void put_number(struct sink *sink, uint64_t value, unsigned base, bool negative, unsigned width,
                       char pad) {
  char digits[24];
  unsigned n = 0;
  do {
    digits[n++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  if (negative) put(sink, '-');
  for (unsigned i = n; i < width; i++)
    put(sink, pad);
  while (n)
    put(sink, digits[--n]);
}

/* %s %c %d %u %x with an optional 0, width, l and ll; nothing else. */
static void format_one(struct sink *sink, const char **fmt, va_list *args) {
  char pad = ' ';
  unsigned width = 0, longs = 0;
  if (**fmt == '0') pad = *(*fmt)++;
  while (**fmt >= '0' && **fmt <= '9')
    width = width * 10 + (unsigned)(*(*fmt)++ - '0');
  for (; **fmt == 'l' || **fmt == 'z'; (*fmt)++)
    longs++;
  char conversion = *(*fmt)++;
  switch (conversion) {
  case 's': {
    const char *s = va_arg(*args, const char *);
    while (*s)
      put(sink, *s++);
    break;
  }
  case 'c':
    put(sink, (char)va_arg(*args, int));
    break;
  case 'd': {
    int64_t v = longs ? va_arg(*args, int64_t) : va_arg(*args, int);
    put_number(sink, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, width, pad);
    break;
  }
  case 'u':
  case 'x': {
    uint64_t v = longs ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
    put_number(sink, v, conversion == 'x' ? 16 : 10, false, width, pad);
    break;
  }
  default:
    put(sink, conversion);
    break;
  }
}

static int vformat(char *out, size_t size, const char *fmt, va_list *args) {
  struct sink sink = {out, out + size - 1};
  while (*fmt) {
    char c = *fmt++;
    if (c == '%')
      format_one(&sink, &fmt, args);
    else
      put(&sink, c);
  }
  *sink.at = 0;
  return (int)(sink.at - out);
}

int format(char *out, size_t size, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  int n = vformat(out, size, fmt, &args);
  va_end(args);
  return n;
}

/* One hypercall a line: nothing that Xen prints itself falls into the middle. */
static void print_line(const char *prefix, const char *fmt, va_list *args) {
  static char line[512];
  size_t n = strlen(prefix);
  memcpy(line, prefix, n);
  n += (size_t)vformat(line + n, sizeof(line) - n - 1, fmt, args);
  line[n++] = '\n';
  HYPERVISOR_console_io(CONSOLEIO_write, n, line);
}

static const char *result = "SUCCESS";

void finish(unsigned reason) {
  print("Test result: %s", result);
  shutdown(reason);
}

void print(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  print_line("", fmt, &args);
  va_end(args);
}

void fail(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  print_line("Fail: ", fmt, &args);
  va_end(args);
  result = "FAILURE";
}

void error(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  print_line("Error: ", fmt, &args);
  va_end(args);
  result = "ERROR";
  finish(SHUTDOWN_poweroff);
}

void skip(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  print_line("Skip: ", fmt, &args);
  va_end(args);
  result = "SKIP";
  finish(SHUTDOWN_poweroff);
}

void shutdown(unsigned reason) {
  sched_shutdown_t arg = {.reason = reason};
  HYPERVISOR_sched_op(SCHEDOP_shutdown, &arg);
  for (;;)
    HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
}

start_info_t *start_info;
shared_info_t *shared_info;
static uint8_t shared_info_page[PAGE_SIZE] __attribute__((aligned(4096)));

void kernel_start(start_info_t *info) {
  start_info = info;
  traps_init();
  uint64_t entry = info->shared_info | PTE_KERNEL;
  must("map shared_info", HYPERVISOR_update_va_mapping(shared_info_page, entry, UVMF_INVLPG));
  shared_info = (shared_info_t *)shared_info_page;
  user_init();
  print("--- %s", test_title);
  test_main();
  finish(SHUTDOWN_poweroff);
}
