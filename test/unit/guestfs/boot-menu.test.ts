/** The boot menu: keys in, a screen out, as a terminal would show it. */
import { describe, expect, it } from 'vitest';
import { BootMenu } from '../../../src/mgmt/guestfs/boot-menu.js';
import type { BootConfig, BootEntry } from '../../../src/mgmt/guestfs/loader/boot-config.js';

/** As much of a VT100 as the menu uses. Anything else in what it gets is an error. */
class Screen {
  readonly rows = Array.from({ length: 25 }, () => ' '.repeat(80));
  private row = 0;
  private column = 0;

  write(text: string): void {
    for (const [token, , first, second, command] of text.matchAll(
      /([^ -~]\[(\d*)(?:;(\d*))?([HJKm]))|[ -~]|[^ -~]/g,
    )) {
      if (command === undefined) this.put(token);
      else if (command === 'H') [this.row, this.column] = [Number(first || 1) - 1, Number(second || 1) - 1];
      else if (command === 'J') this.rows.fill(' '.repeat(80));
      else if (command === 'K') this.rows[this.row] = this.rows[this.row]!.slice(0, this.column).padEnd(80);
    }
  }

  private put(char: string): void {
    if (!/^[ -~]$/.test(char) || this.row > 24 || this.column > 79)
      throw new Error(`${JSON.stringify(char)} at ${this.row},${this.column}`);
    const line = this.rows[this.row]!;
    this.rows[this.row] = line.slice(0, this.column) + char + line.slice(this.column + 1);
    this.column++;
  }

  get text(): string {
    return this.rows
      .map((row) => row.trimEnd())
      .join('\n')
      .trim();
  }

  get marked(): string | undefined {
    return this.rows
      .find((row) => row.startsWith('  > '))
      ?.slice(4)
      .trim();
  }
}

const entry = (title: string, more: Partial<BootEntry> = {}): BootEntry => ({
  title,
  menus: [],
  kernel: { volume: undefined, path: '/k' },
  ramdisks: [],
  args: `root=/dev/xvda1 ${title}`,
  ...more,
});
const CONFIG: BootConfig = {
  loader: 'grub',
  path: '/boot/grub/menu.lst',
  volume: 'hd0',
  entries: [
    entry('one'),
    entry('two'),
    { title: 'memtest', menus: [], ramdisks: [], args: '' },
    entry('four', { menus: ['more'] }),
  ],
  preferred: [1],
  timeoutS: 5,
  notes: [],
};

function open(config: Partial<BootConfig> = {}): { menu: BootMenu; screen: Screen } {
  const screen = new Screen();
  return { menu: new BootMenu({ ...CONFIG, ...config }, (text) => screen.write(text), 1000), screen };
}

describe('the boot menu', () => {
  it('shows entries, the default and how long it waits, and boots when nobody comes', () => {
    const { menu, screen } = open();
    expect(screen.text).toMatch(
      /Boot entries of \/boot\/grub\/menu\.lst\n\n\s+one\n\s+> two\n\s+memtest \(no kernel\)\n\s+more > four\n/,
    );
    expect(screen.text).toContain('boots in 5 s');
    expect(menu.nextTickMs(1000)).toBe(2000);
    expect(menu.nextTickMs(1700)).toBe(2000);
    menu.tick(2000);
    expect(screen.text).toContain('boots in 4 s');
    menu.tick(5999);
    expect(menu.choice).toBeUndefined();
    menu.tick(6000);
    expect(menu.choice).toEqual({ index: 1 });
    expect([menu.nextTickMs(6000), screen.text]).toEqual([undefined, '']);
  });

  it.each([
    ['Enter', ['\r'], { index: 1 }],
    ['arrows', ['\x1b[A', '\r'], { index: 0 }],
    ['arrows of the other mode, in pieces', ['\x1b', 'O', 'B\x1b[', 'B\n'], { index: 3 }],
    ['letters, beyond both ends', ['kkkk', 'jjjjjjjj', '\r'], { index: 3 }],
    ['an entry without a kernel', ['j\r'], undefined],
    ['keys without a meaning', ['xyz\x1b[15~\x1b[1;5C', '\r'], { index: 1 }],
    ['the end and the beginning', ['\x1b[F\x1b[H\r'], { index: 0 }],
    [
      'an edited command line',
      ['e', ' x', '\x1b[D\x1b[D', 'y', '\x7fz', '\r'],
      { index: 1, args: 'root=/dev/xvda1 twoz x' },
    ],
    ['a new command line', ['e\x15', 'ab', '\x01', 'c', '\x1b[3~', '\x05d', '\r'], { index: 1, args: 'cbd' }],
    ['nothing behind what is chosen', ['\rj\r'], { index: 1 }],
  ])('%s', (_name, keys, choice) => {
    const { menu } = open();
    for (const text of keys) menu.input(text);
    expect(menu.choice).toEqual(choice);
  });

  it('a key stops the clock', () => {
    const { menu, screen } = open();
    menu.input('k');
    expect(screen.text).not.toContain('boots in');
    expect(menu.nextTickMs(1e9)).toBeUndefined();
    menu.tick(1e9);
    expect(menu.choice).toBeUndefined();
  });

  it('Escape leaves the editor, when nothing follows it', () => {
    const { menu, screen } = open();
    menu.input('e');
    expect(screen.text).toContain('root=/dev/xvda1 two');
    menu.input('\x1b');
    expect(screen.text).toContain('root=/dev/xvda1 two');
    menu.quiet();
    expect(screen.marked).toBe('two');
    menu.input('\r');
    expect(menu.choice).toEqual({ index: 1 });
  });

  it('waits for ever without a timeout, and not at all with 0', () => {
    const forever = open({ timeoutS: undefined });
    expect(forever.menu.nextTickMs(1000)).toBeUndefined();
    expect(forever.screen.text).not.toContain('boots in');
    const atOnce = open({ timeoutS: 0 });
    expect([atOnce.menu.choice, atOnce.screen.text]).toEqual([{ index: 1 }, '']);
  });

  it('scrolls, cuts long titles, and shows no control characters', () => {
    const entries = Array.from({ length: 40 }, (_, i) => entry(`${i} \x1b[2J\x9b\n${'long '.repeat(30)}`));
    const { menu, screen } = open({ entries, preferred: [30] });
    expect(screen.marked).toMatch(/^30 \?\[2J\?\?long .*>$/);
    for (let i = 0; i < 40; i++) menu.input('k');
    expect(screen.marked).toMatch(/^0 /);
    menu.input('\x1b[F\r');
    expect(menu.choice).toEqual({ index: 39 });
  });

  it('edits lines longer than the screen, and no longer than a kernel takes', () => {
    const { menu, screen } = open({ entries: [entry('long', { args: 'a'.repeat(500) })], preferred: [0] });
    menu.input('e');
    menu.input('\x01b\x05c');
    expect(screen.rows[3]).toMatch(/^<a+c\s*$/);
    menu.input('d'.repeat(2000));
    menu.input('\r');
    expect(menu.choice!.args).toBe(`b${'a'.repeat(500)}c${'d'.repeat(521)}`);
  });
});
