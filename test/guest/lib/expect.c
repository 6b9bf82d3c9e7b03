/* Saying what was seen and holding it against the rule. */
#include "test.h"

static const struct {
  int value;
  const char *name;
} errnos[] = {
/* The first name of a value wins: EAGAIN, not EWOULDBLOCK. */
#define XEN_ERRNO(name, value) {value, "-" #name},
#include <xen/errno.h>
};

const char *errno_name(long rc) {
  static char text[2][24];
  static unsigned turn;
  for (unsigned i = 0; i < ARRAY_SIZE(errnos); i++)
    if (errnos[i].value == -rc) return errnos[i].name;
  char *out = text[turn++ & 1];
  format(out, sizeof(text[0]), "%ld", rc);
  return out;
}

void expect(const char *name, uint64_t got, uint64_t want) {
  print("%s: %lu", name, got);
  if (got != want) fail("%s: want %lu", name, want);
}

void expect_hex(const char *name, uint64_t got, uint64_t want) {
  print("%s: %lx", name, got);
  if (got != want) fail("%s: want %lx", name, want);
}

void say_rc(const char *name, long rc) {
  print("%s: %s", name, errno_name(rc));
}

void expect_rc(const char *name, long got, long want) {
  print("%s: %s", name, errno_name(got));
  if (got != want) fail("%s: want %s", name, errno_name(want));
}

void must(const char *what, long rc) {
  if (rc < 0) error("%s: %s", what, errno_name(rc));
}

static void trap_text(char *out, size_t size, ulong vec, ulong err) {
  if (vec == RETURN_VECTOR) vec = NO_TRAP;
  if (trap_has_error_code(vec))
    format(out, size, "%s[%04lx]", trap_name(vec), err);
  else
    format(out, size, "%s", trap_name(vec));
}

static void expect_trap(const char *mode, const char *name, ulong start, const struct regs *regs, ulong vec,
                        ulong err) {
  char got[32], want[32];
  trap_text(got, sizeof(got), regs->vec, regs->err);
  trap_text(want, sizeof(want), vec, err);
  if (regs->vec == NO_TRAP || regs->vec == RETURN_VECTOR)
    print("%s %s: %s", mode, name, got);
  else
    print("%s %s: %s +%ld", mode, name, got, (long)(regs->rip - start));
  if (regs->vec != vec || (trap_has_error_code(vec) && regs->err != err))
    fail("%s %s: want %s", mode, name, want);
}

void expect_kernel(const char *name, void (*fn)(ulong), ulong arg, ulong vec, ulong err) {
  struct regs regs;
  if (!catch_kernel(fn, arg, &regs)) regs.vec = NO_TRAP;
  expect_trap("kernel", name, (ulong)fn, &regs, vec, err);
}

void expect_user(const char *name, void (*fn)(ulong), ulong arg, ulong vec, ulong err) {
  struct regs regs;
  catch_user(fn, arg, &regs);
  expect_trap("user", name, user_address((void *)fn), &regs, vec == NO_TRAP ? RETURN_VECTOR : vec, err);
}
