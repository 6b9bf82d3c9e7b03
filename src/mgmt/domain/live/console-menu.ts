/** A boot loader's menu on a domain's console, before there is a guest. */
import { XennerError } from '../../../base/errors.js';
import type { MenuChoice } from '../../guestfs/boot.js';
import { BootMenu } from '../../guestfs/boot-menu.js';
import type { BootConfig } from '../../guestfs/loader/boot-config.js';

/** So long after an Escape, nothing that belongs to it comes any more. */
const ESCAPE_MS = 200;

export class ConsoleMenu {
  readonly #menu: BootMenu;
  readonly choice: Promise<MenuChoice>;
  #resolve: (choice: MenuChoice) => void = () => {};
  #reject: (error: Error) => void = () => {};
  #tick: NodeJS.Timeout | undefined;
  #quiet: NodeJS.Timeout | undefined;

  constructor(config: BootConfig, write: (text: string) => void) {
    this.choice = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#menu = new BootMenu(config, write, performance.now());
    this.#next();
  }

  input(typed: Buffer): void {
    this.#menu.input(typed.toString('latin1'));
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.#menu.quiet();
      this.#next();
    }, ESCAPE_MS);
    this.#next();
  }

  /** The domain is to end: there is no choice. */
  cancel(): void {
    this.#stop();
    this.#reject(new XennerError('EENDED', 'the domain was destroyed in its boot menu'));
  }

  #next(): void {
    const { choice } = this.#menu;
    clearTimeout(this.#tick);
    if (choice !== undefined) {
      this.#stop();
      this.#resolve(choice);
      return;
    }
    const nowMs = performance.now();
    const at = this.#menu.nextTickMs(nowMs);
    if (at === undefined) return;
    this.#tick = setTimeout(() => {
      this.#menu.tick(performance.now());
      this.#next();
    }, at - nowMs);
  }

  #stop(): void {
    clearTimeout(this.#tick);
    clearTimeout(this.#quiet);
  }
}
