/* Rule: SCHEDOP_shutdown with SHUTDOWN_crash ends the domain with that reason (xen/common/shutdown.c,
 * domain.c). */
#include "test.h"

const char test_title[] = "SHUTDOWN_crash";

void test_main(void) {
  finish(SHUTDOWN_crash);
}
