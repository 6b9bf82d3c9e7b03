/** What `xenner` exits with. Signals end it with 128 + their number, as shells say it. */
import type { EndReason } from '../xenner/domain/messages.js';

export const EXIT = {
  ok: 0,
  /** The host, an image or the configuration: one line on standard error says what. */
  failure: 1,
  /** The command line. */
  usage: 2,
  guestCrash: 3,
  /** The guest rebooted and --no-reboot said to end. */
  guestReboot: 4,
  guestSuspend: 5,
  guestWatchdog: 6,
} as const;

export const EXIT_OF_END: Readonly<Record<EndReason, number>> = {
  poweroff: EXIT.ok,
  reboot: EXIT.guestReboot,
  suspend: EXIT.guestSuspend,
  crash: EXIT.guestCrash,
  watchdog: EXIT.guestWatchdog,
  soft_reset: EXIT.guestReboot,
  destroyed: EXIT.ok,
  saved: EXIT.ok,
};

/** What `xenner img check` exits with: qemu-img's. */
export const CHECK_EXIT = { ok: 0, incomplete: 1, corruptions: 2, leaks: 3, unsupported: 63 } as const;
