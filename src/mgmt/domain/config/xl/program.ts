/** Configurations of xl and xm: a program is evaluated, and the names that it has set in the end are the options. */
import type { Notes } from '../notes.js';
import { Evaluator } from '../python/evaluator.js';
import { parsePython } from '../python/parser.js';
import { Callable, Fault, Namespace, text, Unknown, type Value } from '../python/values.js';
import { type Option, Options } from './options.js';

/** `key=value` of the command line. */
export interface Override {
  readonly key: string;
  readonly op: '=' | '+=';
  readonly text: string;
}

/** @returns undefined for what is none */
export function parseOverride(argument: string): Override | undefined {
  const match = /^\s*([A-Za-z_]\w*)\s*(\+?=)(?!=)\s*(.*)$/s.exec(argument);
  if (match === null) return undefined;
  return { key: match[1]!, op: match[2] as '=' | '+=', text: match[3]! };
}

/** What an override says: a value as a file would have it, or else its plain text, as in `name=web1`. */
export function overrideValue({ text: said }: Override): Value {
  const evaluator = new Evaluator();
  evaluator.run(parsePython(`value = ${said}\n`));
  const value = evaluator.globals.get('value')?.value;
  const understood = evaluator.troubles.length === 0 && value !== undefined && evaluator.globals.size === 1;
  const plain = value instanceof Unknown || value instanceof Callable || value instanceof Namespace;
  return understood && !plain ? value : said;
}

/** For formats that are no programs. */
export function overrideOptions(overrides: readonly Override[], notes: Notes): Options {
  const options = new Map<string, Option>();
  for (const override of overrides) {
    if (override.op === '=') options.set(override.key, { value: overrideValue(override), line: undefined });
    else notes.error(undefined, override.key, '+= adds to options of xl and xm only');
  }
  return new Options(options, notes);
}

export function evaluateProgram(source: string, overrides: readonly Override[], notes: Notes): Options {
  const evaluator = new Evaluator();
  // Files with variables of their own, as xmexample2's vmid, have them from the command line.
  for (const override of overrides) {
    if (override.op === '=') evaluator.globals.set(override.key, { value: overrideValue(override), line: 0 });
  }
  evaluator.globals.set('xm_vars', { value: variables(evaluator, overrides, notes), line: 0 });
  evaluator.run(parsePython(source));
  for (const { line, why } of evaluator.troubles) notes.add('unsupported', line, '', `not evaluated: ${why}`);
  for (const { key, op, text: said } of overrides) {
    const value = overrideValue({ key, op, text: said });
    const old = evaluator.globals.get(key)?.value;
    const sum = op === '=' || old === undefined ? value : joined(old, value);
    evaluator.globals.set(key, { value: sum, line: 0 });
  }
  return new Options(optionsOf(evaluator, notes), notes, evaluator.used);
}

function joined(old: Value, more: Value): Value {
  if (typeof old === 'string' && typeof more === 'string') return old + more;
  return Array.isArray(old) && Array.isArray(more) ? [...old, ...more] : new Unknown('+= of another type');
}

function optionsOf({ globals, used }: Evaluator, notes: Notes): Map<string, Option> {
  const options = new Map<string, Option>();
  for (const [name, { value, line }] of globals) {
    if (value instanceof Callable || value instanceof Namespace || value instanceof Map) {
      if (value instanceof Map && !used.has(name))
        notes.add('ignored', line, name, 'no option is a dictionary');
      continue;
    }
    options.set(name, { value, line: line === 0 ? undefined : line });
  }
  return options;
}

/**
 * Python's file has `xm_vars.var(name, check=function)` and `xm_vars.check()` (xmexample2): the value comes from the command line, goes
 * through the function, and is a name of the program from then on.
 */
function variables(evaluator: Evaluator, overrides: readonly Override[], notes: Notes): Value {
  const declare = (args: readonly Value[], named: ReadonlyMap<string, Value>): Value => {
    const name = text(args[0]);
    const check = named.get('check');
    const given = overrides.some(({ key }) => key === name);
    let value: Value = given
      ? evaluator.globals.get(name)!.value
      : new Unknown(`give ${name}=VALUE on the command line`);
    if (given && check instanceof Callable) {
      try {
        value = check.call([name, value], new Map());
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        notes.error(undefined, name, `the file refuses this value: ${error.message}`);
      }
    }
    evaluator.globals.set(name, { value, line: 0 });
    evaluator.used.add(name);
    return null;
  };
  const members = new Map<string, Value>([
    ['var', new Callable('xm_vars.var', declare)],
    ['check', new Callable('xm_vars.check', () => null)],
  ]);
  return new Namespace('xm_vars', members);
}
