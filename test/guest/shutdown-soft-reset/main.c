/* Rule: SCHEDOP_shutdown with SHUTDOWN_soft_reset ends the domain with that reason (xen/common/shutdown.c,
 * domain.c). */
#include "test.h"

const char test_title[] = "SHUTDOWN_soft_reset";

void test_main(void) {
  finish(SHUTDOWN_soft_reset);
}
