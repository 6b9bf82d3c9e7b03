/* Rule: SCHEDOP_shutdown with SHUTDOWN_reboot ends the domain with that reason (xen/common/shutdown.c,
 * domain.c). */
#include "test.h"

const char test_title[] = "SHUTDOWN_reboot";

void test_main(void) {
  finish(SHUTDOWN_reboot);
}
