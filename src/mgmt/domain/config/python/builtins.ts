/** The functions and methods that configurations use. Whatever would look at the machine or change it is not among them. */
import {
  boundedList,
  boundedNumber,
  boundedText,
  Callable,
  Fault,
  integer,
  items,
  Tuple,
  text,
  toText,
  truth,
  Unknown,
  type Value,
} from './values.js';

type Function = (args: readonly Value[], named: ReadonlyMap<string, Value>) => Value;

function whole(value: Value | undefined, base: Value | undefined): number {
  if (typeof value !== 'string') return integer(value);
  const digits = value.trim().replace(/^0[xX](?=[\da-fA-F])/, base === 16 ? '' : '0x');
  const valid = base === 16 ? /^[\da-fA-F]+$/ : base === 8 ? /^[0-7]+$/ : /^-?\d+$/;
  if (![undefined, 8, 10, 16].includes(base as number | undefined)) throw new Fault(`int() to this base`);
  if (!valid.test(digits)) throw new Fault(`int() of ${JSON.stringify(value)}`);
  return boundedNumber(Number.parseInt(digits, (base as number | undefined) ?? 10));
}

function range(args: readonly Value[]): Value[] {
  const [first, second, third] = args.map(integer);
  const [from, to] = second === undefined ? [0, first ?? 0] : [first!, second];
  const step = third ?? 1;
  if (step === 0) throw new Fault('range() with steps of 0');
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (count > 1) boundedList(new Array(count));
  return Array.from({ length: count }, (_, i) => from + i * step);
}

function length(value: Value | undefined): number {
  return typeof value === 'string' ? value.length : items(value).length;
}

function sorted(value: Value | undefined): Value[] {
  const list = [...items(value)];
  const numbers = list.every((each) => typeof each === 'number');
  if (!numbers) for (const each of list) text(each);
  return list.sort((a, b) => (numbers ? (a as number) - (b as number) : a! < b! ? -1 : Number(a! > b!)));
}

const extreme = (pick: (...all: number[]) => number) => (args: readonly Value[]) =>
  pick(...(args.length === 1 ? items(args[0]) : args).map(integer));

const FUNCTIONS: Readonly<Record<string, Function>> = {
  abs: ([value]) => Math.abs(integer(value)),
  bool: ([value]) => truth(value ?? false),
  chr: ([value]) => String.fromCharCode(integer(value) & 0xffff),
  enumerate: ([value]) => items(value).map((each, i) => new Tuple([i, each])),
  hex: ([value]) => `0x${integer(value).toString(16)}`,
  int: ([value, base]) => whole(value, base),
  len: ([value]) => length(value),
  list: ([value]) => (value === undefined ? [] : [...items(value)]),
  long: ([value, base]) => whole(value, base),
  max: extreme(Math.max),
  min: extreme(Math.min),
  ord: ([value]) => text(value).charCodeAt(0) || 0,
  range,
  sorted: ([value]) => sorted(value),
  str: ([value]) => toText(value ?? ''),
  sum: ([value]) => boundedNumber(items(value).reduce<number>((sum, each) => sum + integer(each), 0)),
  tuple: ([value]) => new Tuple(value === undefined ? [] : items(value)),
  xrange: range,
};

/** PV guests of xenner are 64-bit Linux's contemporaries; what else a machine calls itself is not the file's affair. */
const elsewhere = new Unknown('it depends on the machine');
const UNAME = new Tuple(['Linux', elsewhere, elsewhere, elsewhere, 'x86_64']);

function search(args: readonly Value[]): Value {
  const [pattern, subject] = args.map((each) => text(each)) as [string, string];
  if (!/^[\w ./-]*$/.test(pattern) || pattern.includes('.'))
    throw new Fault('regular expressions are not evaluated here');
  return subject.includes(pattern) ? true : null;
}

const MEMBERS: Readonly<Record<string, Value | Function>> = {
  'os.path.basename': ([path]) => text(path).replace(/^.*\//s, ''),
  'os.path.dirname': ([path]) => text(path).replace(/\/*[^/]*$/, ''),
  'os.path.join': (args) => args.map((each) => text(each)).reduce(joinPaths),
  'os.sep': '/',
  'os.uname': () => UNAME,
  'platform.machine': () => 'x86_64',
  'platform.system': () => 'Linux',
  're.match': (args) => (search(args) !== null && text(args[1]).startsWith(text(args[0])) ? true : null),
  're.search': search,
  'string.join': ([list, by]) => join(by ?? ' ', list),
  'string.lower': ([value]) => text(value).toLowerCase(),
  'string.upper': ([value]) => text(value).toUpperCase(),
};

function joinPaths(base: string, next: string): string {
  if (next.startsWith('/')) return next;
  return boundedText(base === '' || base.endsWith('/') ? base + next : `${base}/${next}`);
}

export function join(separator: Value, list: Value | undefined): string {
  let joined = '';
  items(list).forEach((each, i) => {
    joined = boundedText(joined + (i === 0 ? '' : text(separator)) + text(each));
  });
  return joined;
}

/** A name that the program does not define itself. */
export function builtin(name: string): Value | undefined {
  if (name === 'True') return true;
  if (name === 'False') return false;
  if (name === 'None') return null;
  return Object.hasOwn(FUNCTIONS, name) ? new Callable(name, FUNCTIONS[name]!) : undefined;
}

/** What a module has. */
export function moduleMember(path: string): Value | undefined {
  if (!Object.hasOwn(MEMBERS, path)) return undefined;
  const member = MEMBERS[path]!;
  return typeof member === 'function' ? new Callable(path, member) : member;
}
