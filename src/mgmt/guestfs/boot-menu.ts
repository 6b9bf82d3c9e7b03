/**
 * The boot menu on a guest's console: bytes in, bytes out, for a dumb terminal of 80 by 25 that knows VT100. Time is told by whoever
 * runs it, so nothing here waits.
 */
import { MAX_CMDLINE_BYTES } from '../../base/limits.js';
import { defaultIndex, type MenuChoice } from './boot.js';
import type { BootConfig, BootEntry } from './loader/boot-config.js';

const COLUMNS = 80;
const TITLE_COLUMNS = COLUMNS - 6;
/** Entries that are seen at once; the others scroll. */
const LIST_ROWS = 14;
const FIRST_LIST_ROW = 4;
const HELP_ROW = FIRST_LIST_ROW + LIST_ROWS + 1;
const EDIT_COLUMNS = COLUMNS - 3;

const ESC = '\x1b';
const at = (row: number, column = 1): string => `${ESC}[${row};${column}H`;
const CLEAR = `${ESC}[2J`;
const CLEAR_LINE = `${ESC}[K`;
const REVERSE = `${ESC}[7m`;
const PLAIN = `${ESC}[0m`;

const LIST_HELP = 'Up, down or j, k: choose; Enter: boot; e: edit the command line first';
const EDIT_HELP = 'Enter: boot with this command line; Escape: back; ^U: clear';

/** What a key is, whichever bytes a terminal sends for it. */
type Key = 'up' | 'down' | 'left' | 'right' | 'home' | 'end' | 'delete' | 'escape' | string;

/** The last byte of CSI and SS3 sequences; `~` ones go by their number. */
const SEQUENCES: Readonly<Record<string, Key>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'end',
  '1~': 'home',
  '3~': 'delete',
  '4~': 'end',
};

/** A command line that is being edited. */
interface Line {
  readonly text: string;
  readonly cursor: number;
}

export class BootMenu {
  private readonly entries: readonly BootEntry[];
  private selected: number;
  private top = 0;
  /** Undefined: the user is there, or there is no timeout. */
  private deadlineMs: number | undefined;
  private editor: Line | undefined;
  private pending = '';
  private made: MenuChoice | undefined;

  /**
   * @param write what goes to the console
   * @param nowMs of the same clock as tick()'s
   */
  constructor(
    private readonly config: BootConfig,
    private readonly write: (text: string) => void,
    nowMs: number,
  ) {
    this.entries = config.entries;
    this.selected = defaultIndex(config);
    if (config.timeoutS !== undefined) this.deadlineMs = nowMs + config.timeoutS * 1000;
    if (config.timeoutS === 0) this.made = { index: this.selected };
    else this.draw(nowMs);
  }

  /** What was chosen, once it was. */
  get choice(): MenuChoice | undefined {
    return this.made;
  }

  /** When tick() is to be called next; undefined: not at all. */
  nextTickMs(nowMs: number): number | undefined {
    if (this.made !== undefined || this.deadlineMs === undefined) return undefined;
    const left = this.deadlineMs - nowMs;
    return nowMs + (left <= 0 ? 0 : ((left - 1) % 1000) + 1);
  }

  tick(nowMs: number): void {
    if (this.made !== undefined || this.deadlineMs === undefined) return;
    if (nowMs >= this.deadlineMs) this.choose({ index: this.selected });
    else this.drawCountdown(nowMs);
  }

  /** Keys, in whatever pieces they come. An Escape alone counts with the next byte, or when quiet() says that there is none. */
  input(text: string): void {
    this.pending += text;
    for (
      let key = this.nextKey(false);
      key !== undefined && this.made === undefined;
      key = this.nextKey(false)
    )
      this.press(key);
  }

  /** Nothing came for a while: what looked like the beginning of a sequence was a key. */
  quiet(): void {
    for (let key = this.nextKey(true); key !== undefined && this.made === undefined; key = this.nextKey(true))
      this.press(key);
  }

  private nextKey(isAll: boolean): Key | undefined {
    const [first] = this.pending;
    if (first === undefined) return undefined;
    if (first !== ESC) return this.take(1);
    const behind = this.pending.slice(1);
    const sequence = /^[[O](\d{0,3}(?:;\d{1,3})?)([A-Za-z~])/.exec(behind);
    if (sequence) {
      const [whole, number = '', last = ''] = sequence;
      this.take(1 + whole.length);
      return SEQUENCES[last === '~' ? `${number}~` : last] ?? '';
    }
    const mayContinue = /^(?:[[O][\d;]{0,7})?$/.test(behind);
    if (mayContinue && !isAll) return undefined;
    this.take(1);
    return 'escape';
  }

  private take(length: number): string {
    const text = this.pending.slice(0, length);
    this.pending = this.pending.slice(length);
    return text;
  }

  private press(key: Key): void {
    if (this.deadlineMs !== undefined) {
      this.deadlineMs = undefined;
      this.write(at(HELP_ROW + 1) + CLEAR_LINE);
    }
    if (this.editor) this.edit(this.editor, key);
    else this.move(key);
  }

  private move(key: Key): void {
    const wanted = this.wanted(key);
    const entry = this.entries[this.selected];
    if (wanted !== undefined) {
      this.selected = Math.min(Math.max(wanted, 0), this.entries.length - 1);
      this.drawList();
    } else if (entry?.kernel !== undefined && (key === '\r' || key === '\n')) {
      this.choose({ index: this.selected });
    } else if (entry?.kernel !== undefined && key === 'e') {
      this.editor = { text: printable(entry.args), cursor: entry.args.length };
      this.drawEditor(this.editor);
    }
  }

  /** Where a key leads in the list; it may be beyond an end. */
  private wanted(key: Key): number | undefined {
    switch (key) {
      case 'up':
      case 'k':
        return this.selected - 1;
      case 'down':
      case 'j':
        return this.selected + 1;
      case 'home':
        return 0;
      case 'end':
        return this.entries.length - 1;
      default:
        return undefined;
    }
  }

  private edit(line: Line, key: Key): void {
    if (key === '\r' || key === '\n') {
      this.choose({ index: this.selected, args: line.text });
    } else if (key === 'escape') {
      this.editor = undefined;
      this.draw();
    } else {
      this.editor = edited(line, key);
      this.drawEditLine(this.editor);
    }
  }

  private choose(choice: MenuChoice): void {
    this.made = choice;
    this.write(`${PLAIN}${CLEAR}${at(1)}`);
  }

  private draw(nowMs?: number): void {
    this.write(
      `${PLAIN}${CLEAR}${at(2, 3)}${cut(`Boot entries of ${this.config.path}`)}${at(HELP_ROW, 3)}${LIST_HELP}`,
    );
    this.drawList();
    if (nowMs !== undefined && this.deadlineMs !== undefined) this.drawCountdown(nowMs);
  }

  private drawList(): void {
    if (this.selected < this.top) this.top = this.selected;
    if (this.selected >= this.top + LIST_ROWS) this.top = this.selected - LIST_ROWS + 1;
    let text = '';
    for (let row = 0; row < LIST_ROWS; row++) {
      const index = this.top + row;
      const entry = this.entries[index];
      const title = entry
        ? cut(`${[...entry.menus, entry.title].join(' > ')}${entry.kernel ? '' : ' (no kernel)'}`)
        : '';
      const line = `${index === this.selected ? '>' : ' '} ${title.padEnd(TITLE_COLUMNS)}`;
      text += at(FIRST_LIST_ROW + row, 3) + (index === this.selected ? `${REVERSE}${line}${PLAIN}` : line);
    }
    this.write(text + at(FIRST_LIST_ROW + this.selected - this.top, 3));
  }

  private drawCountdown(nowMs: number): void {
    const left = Math.ceil((this.deadlineMs! - nowMs) / 1000);
    this.write(`${at(HELP_ROW + 1, 3)}The marked entry boots in ${left} s${CLEAR_LINE}`);
  }

  private drawEditor(editor: Line): void {
    const title = cut(this.entries[this.selected]!.title);
    this.write(`${PLAIN}${CLEAR}${at(2, 3)}${title}${at(HELP_ROW, 3)}${EDIT_HELP}`);
    this.drawEditLine(editor);
  }

  /** One line of the screen that moves along with the cursor. */
  private drawEditLine({ text, cursor }: Line): void {
    const half = Math.floor(EDIT_COLUMNS / 2);
    const start = cursor < EDIT_COLUMNS ? 0 : Math.floor(cursor / half) * half - half;
    const seen = text.slice(start, start + EDIT_COLUMNS);
    this.write(
      `${at(FIRST_LIST_ROW)}${start > 0 ? '<' : ' '}${seen}${CLEAR_LINE}${at(FIRST_LIST_ROW, 2 + cursor - start)}`,
    );
  }
}

/** A line after a key, with Emacs's keys for terminals that have no others. */
function edited({ text, cursor }: Line, key: Key): Line {
  const [before, behind] = [text.slice(0, cursor), text.slice(cursor)];
  if (/^[ -~]$/.test(key))
    return text.length < MAX_CMDLINE_BYTES
      ? { text: before + key + behind, cursor: cursor + 1 }
      : { text, cursor };
  switch (key) {
    case 'left':
      return { text, cursor: Math.max(cursor - 1, 0) };
    case 'right':
      return { text, cursor: Math.min(cursor + 1, text.length) };
    case 'home':
    case '\x01':
      return { text, cursor: 0 };
    case 'end':
    case '\x05':
      return { text, cursor: text.length };
    case '\x15':
      return { text: '', cursor: 0 };
    case '\x08':
    case '\x7f':
      return { text: before.slice(0, -1) + behind, cursor: Math.max(cursor - 1, 0) };
    case 'delete':
      return { text: before + behind.slice(1), cursor };
    default:
      return { text, cursor };
  }
}

/** Titles are the guest's: they must not drive the terminal of whoever looks. */
function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?');
}

function cut(text: string): string {
  const seen = printable(text);
  return seen.length > TITLE_COLUMNS ? `${seen.slice(0, TITLE_COLUMNS - 1)}>` : seen;
}
