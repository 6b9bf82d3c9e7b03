/*
 * Rule: a guest sees of the machine what its ABI profile says, and nothing that is not in this dump changes
 * under the same name. Facts that the compiler of this kernel decides are told relative to the kernel's own.
 */
#include "dump.h"

const char test_title[] = "What a guest can see";

void test_main(void) {
  dump_version();
  dump_cpuid();
  dump_registers();
  dump_start_of_day();
  dump_memory();
  dump_limits();
  dump_hypercalls();
}
