/** What a program's expressions come to. There are no fractions, no classes, and nothing that reaches outside of the program. */
import { MAX_CONFIG_LIST, MAX_CONFIG_TEXT } from '../../../../base/limits.js';

export type Value =
  | null
  | boolean
  | number
  | string
  | Value[]
  | Tuple
  | Dict
  | Callable
  | Namespace
  | Unknown;
export type Dict = Map<string | number, Value>;

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** A module, by its dotted name; or something else with members. */
export class Namespace {
  constructor(
    readonly path: string,
    readonly members: ReadonlyMap<string, Value> = new Map(),
  ) {}
}

export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], named: ReadonlyMap<string, Value>) => Value,
  ) {}
}

/** A value that could not be found out. Whoever needs it fails with the reason. */
export class Unknown {
  constructor(readonly why: string) {}
}

/** Python would raise an exception here, or the value is not to be had without running the program. */
export class Fault extends Error {}

/** The whole program is beyond what is evaluated. */
export class TooLong extends Error {}

export function typeName(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'number') return 'a number';
  if (typeof value === 'boolean') return 'True or False';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Tuple) return 'a tuple';
  if (value instanceof Map) return 'a dictionary';
  if (value instanceof Namespace) return `the module ${value.path}`;
  return value instanceof Callable ? `the function ${value.name}` : 'an unknown value';
}

export function wrongType(wanted: string, found: Value): Fault {
  return found instanceof Unknown
    ? new Fault(found.why)
    : new Fault(`${wanted} is needed, not ${typeName(found)}`);
}

export function truth(value: Value): boolean {
  if (value instanceof Unknown) throw new Fault(value.why);
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

export function text(value: Value | undefined): string {
  if (typeof value === 'string') return value;
  throw wrongType('a string', value ?? null);
}

/** True and False are numbers in Python. */
export function integer(value: Value | undefined): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  throw wrongType('a number', value ?? null);
}

/** What a loop goes through. */
export function items(value: Value | undefined): readonly Value[] {
  if (Array.isArray(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Map) return [...value.keys()];
  if (typeof value === 'string') return [...value];
  throw wrongType('a list', value ?? null);
}

export function boundedText(value: string): string {
  if (value.length > MAX_CONFIG_TEXT) throw new Fault(`a string of more than ${MAX_CONFIG_TEXT} characters`);
  return value;
}

export function boundedList(value: Value[]): Value[] {
  if (value.length > MAX_CONFIG_LIST) throw new Fault(`a list of more than ${MAX_CONFIG_LIST}`);
  return value;
}

export function boundedNumber(value: number): number {
  if (!Number.isSafeInteger(value)) throw new Fault('the number is too big, or none');
  return value;
}

/** Python's ==, for values and lists of values. */
export function equal(a: Value, b: Value): boolean {
  const [left, right] = [sequence(a), sequence(b)];
  if (left === undefined || right === undefined) return same(a, b);
  if (Array.isArray(a) !== Array.isArray(b) || left.length !== right.length) return false;
  return left.every((each, i) => same(each, right[i]!));
}

function sequence(value: Value): readonly Value[] | undefined {
  if (Array.isArray(value)) return value;
  return value instanceof Tuple ? value.items : undefined;
}

function same(a: Value, b: Value): boolean {
  for (const each of [a, b]) if (each instanceof Unknown) throw new Fault(each.why);
  const number = (value: Value) => (typeof value === 'boolean' ? Number(value) : value);
  return number(a) === number(b);
}

/** str(), of what is no list. */
export function toText(value: Value): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null) return 'None';
  throw wrongType('a string or a number', value);
}

/** repr(). */
export function quoted(value: Value): string {
  return typeof value === 'string' ? `'${value.replace(/[\\']/g, '\\$&')}'` : toText(value);
}
