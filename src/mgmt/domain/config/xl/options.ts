/** Options by name, with the types that xl gives them: it has strings and lists only, and makes numbers of strings (libxlu_cfg.c). */
import type { Notes } from '../notes.js';
import { Tuple, Unknown, type Value } from '../python/values.js';

export interface Option {
  readonly value: Value;
  readonly line: number | undefined;
}

/** Where one of these cannot be evaluated, its default does. */
const WITHOUT = new Set(
  'on_poweroff on_reboot on_watchdog on_crash on_soft_reset cpu_weight cpu_cap cap maxmem maxvcpus nics restart uuid'.split(
    ' ',
  ),
);

export class Options {
  /** Asked for: whatever is left in the end is not supported. */
  readonly known = new Set<string>();

  constructor(
    private readonly options: ReadonlyMap<string, Option>,
    private readonly notes: Notes,
    /** Names that the values of others were made from: they may be no options at all. */
    readonly used: ReadonlySet<string> = new Set(),
  ) {}

  /** An option that says something. */
  private find(name: string): Option | undefined {
    this.known.add(name);
    const option = this.options.get(name);
    if (option === undefined || option.value === null) return undefined;
    if (option.value instanceof Unknown) {
      this.notes.add(WITHOUT.has(name) ? 'unsupported' : 'error', option.line, name, option.value.why);
      return undefined;
    }
    return option;
  }

  line(name: string): number | undefined {
    return this.options.get(name)?.line;
  }

  has(name: string): boolean {
    return this.find(name) !== undefined;
  }

  text(name: string): string | undefined {
    const option = this.find(name);
    if (option === undefined) return undefined;
    const text = atom(option.value);
    if (text === undefined) this.notes.error(option.line, name, 'a string is expected');
    return text;
  }

  /** As strtol() reads it, with base 0. */
  number(name: string): number | undefined {
    const text = this.text(name)?.trim();
    if (text === undefined) return undefined;
    const octal = /^0[0-7]+$/.test(text);
    const value = octal ? Number.parseInt(text, 8) : Number(text);
    if (/^(?:0x[\da-f]+|\d+)$/i.test(text) && Number.isSafeInteger(value)) return value;
    this.notes.error(this.line(name), name, `${JSON.stringify(text)} is not a number that makes sense here`);
    return undefined;
  }

  /** A list of strings. Old files have a string where there is one member: xm took it, xl leaves it out. */
  texts(name: string): readonly string[] | undefined {
    const option = this.find(name);
    if (option === undefined) return undefined;
    const { value, line } = option;
    if (!Array.isArray(value) && !(value instanceof Tuple)) {
      const only = this.text(name);
      if (only === undefined || only === '') return undefined;
      this.notes.add('deprecated', line, name, 'a list is expected: taken as a list of one');
      return [only];
    }
    const texts = (Array.isArray(value) ? value : value.items).map(atom);
    if (texts.includes(undefined)) this.notes.error(line, name, 'a list of strings is expected');
    return texts.filter((each) => each !== undefined);
  }

  isList(name: string): boolean {
    const value = this.options.get(name)?.value;
    return Array.isArray(value) || value instanceof Tuple;
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const choice = choices.find((each) => each === text);
    if (choice === undefined) {
      this.notes.error(this.line(name), name, `${JSON.stringify(text)} is none of ${choices.join(', ')}`);
    }
    return choice;
  }

  /** What nobody asked for. */
  *rest(): Iterable<readonly [string, Option]> {
    for (const entry of this.options) if (!this.known.has(entry[0])) yield entry;
  }
}

/** A string or a number. */
function atom(value: Value): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(Number(value)) : undefined;
}
