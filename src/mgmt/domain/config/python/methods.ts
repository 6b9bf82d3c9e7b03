/** Methods of strings, lists and dictionaries. */
import { MAX_CONFIG_TEXT } from '../../../../base/limits.js';
import { join } from './builtins.js';
import { braces } from './format.js';
import {
  boundedList,
  boundedText,
  Callable,
  type Dict,
  equal,
  Fault,
  integer,
  items,
  Tuple,
  text,
  typeName,
  type Value,
} from './values.js';

type Method<T> = (self: T, args: readonly Value[], named: ReadonlyMap<string, Value>) => Value;

function stripped(self: string, set: Value | undefined, side: 'left' | 'right' | 'both'): string {
  const unwanted = set === undefined || set === null ? ' \t\n\r\f\v' : text(set);
  let [from, to] = [0, self.length];
  if (side !== 'right') while (from < to && unwanted.includes(self[from]!)) from++;
  if (side !== 'left') while (to > from && unwanted.includes(self[to - 1]!)) to--;
  return self.slice(from, to);
}

function split(self: string, by: Value | undefined, most: Value | undefined): Value[] {
  const parts = by === undefined || by === null ? self.split(/\s+/).filter(Boolean) : self.split(text(by));
  const limit = most === undefined ? -1 : integer(most);
  if (limit < 0 || parts.length <= limit + 1) return boundedList(parts);
  const rest = parts.slice(limit).join(typeof by === 'string' ? by : ' ');
  return boundedList([...parts.slice(0, limit), rest]);
}

const STRINGS: Readonly<Record<string, Method<string>>> = {
  endswith: (self, [end]) => self.endsWith(text(end)),
  find: (self, [part]) => self.indexOf(text(part)),
  format: braces,
  isdigit: (self) => /^\d+$/.test(self),
  join: (self, [list]) => join(self, list),
  lower: (self) => self.toLowerCase(),
  lstrip: (self, [set]) => stripped(self, set, 'left'),
  replace: (self, [from, to]) => replaced(self, text(from), text(to)),
  rstrip: (self, [set]) => stripped(self, set, 'right'),
  split: (self, [by, most]) => split(self, by, most),
  startswith: (self, [start]) => self.startsWith(text(start)),
  strip: (self, [set]) => stripped(self, set, 'both'),
  upper: (self) => self.toUpperCase(),
  zfill: (self, [width]) => boundedText(self.padStart(Math.min(integer(width), 1000), '0')),
};

function replaced(self: string, from: string, to: string): string {
  if (from === '') throw new Fault('replace() of nothing');
  const parts = self.split(from);
  const length = self.length + (parts.length - 1) * (to.length - from.length);
  if (length > MAX_CONFIG_TEXT) throw new Fault(`a string of ${length} characters`);
  return parts.join(to);
}

const LISTS: Readonly<Record<string, Method<Value[]>>> = {
  append: (self, [value = null]) => grow(self, [value]),
  count: (self, [value = null]) => self.filter((each) => equal(each, value)).length,
  extend: (self, [more]) => grow(self, items(more)),
  index: (self, [value = null]) => self.findIndex((each) => equal(each, value)),
  insert: (self, [at, value = null]) => {
    self.splice(integer(at), 0, value);
    boundedList(self);
    return null;
  },
};

/** As `append` and `+=` do it: the list itself. */
export function grow(list: Value[], more: readonly Value[]): null {
  boundedList([...list, ...more]);
  list.push(...more);
  return null;
}

const DICTS: Readonly<Record<string, Method<Dict>>> = {
  get: (self, [key, otherwise = null]) => self.get(dictKey(key)) ?? otherwise,
  has_key: (self, [key]) => self.has(dictKey(key)),
  items: (self) => [...self].map((entry) => new Tuple(entry)),
  keys: (self) => [...self.keys()],
  values: (self) => [...self.values()],
};

export function dictKey(value: Value | undefined): string | number {
  if (typeof value === 'string' || typeof value === 'number') return value;
  throw new Fault(`${typeName(value ?? null)} as a key of a dictionary`);
}

/** A method bound to its object. */
export function method(of: Value, name: string): Callable {
  const bound = <T>(table: Readonly<Record<string, Method<T>>>, self: T): Callable | undefined =>
    Object.hasOwn(table, name)
      ? new Callable(name, (args, named) => table[name]!(self, args, named))
      : undefined;
  let found: Callable | undefined;
  if (typeof of === 'string') found = bound(STRINGS, of);
  else if (Array.isArray(of)) found = bound(LISTS, of);
  else if (of instanceof Map) found = bound(DICTS, of);
  if (found === undefined) throw new Fault(`${typeName(of)} has no .${name} that is evaluated here`);
  return found;
}
