/** What expressions come to; names and loops are the evaluator's. */
import { MAX_CONFIG_LIST } from '../../../../base/limits.js';
import { moduleMember } from './builtins.js';
import { percent } from './format.js';
import { dictKey, method } from './methods.js';
import type { Expression } from './syntax.js';
import {
  boundedList,
  boundedNumber,
  boundedText,
  Callable,
  type Dict,
  equal,
  Fault,
  integer,
  items,
  Namespace,
  Tuple,
  text,
  truth,
  typeName,
  Unknown,
  type Value,
} from './values.js';

/** Of expressions, functions' calls included: what JavaScript's own stack holds several times. */
const MAX_DEPTH = 300;

export abstract class Arithmetic {
  private depth = 0;

  protected abstract spend(value?: Value): void;
  protected abstract lookUp(name: string): Value;
  protected abstract each(expression: Extract<Expression, { is: 'each' }>): Value[];

  /** @throws Fault */
  protected value(expression: Expression): Value {
    this.spend();
    if (this.depth === MAX_DEPTH) throw new Fault('this is nested too deeply');
    this.depth++;
    let value: Value;
    try {
      value = this.evaluate(expression);
    } finally {
      this.depth--;
    }
    if (value instanceof Unknown) throw new Fault(value.why);
    this.spend(value);
    return value;
  }

  private evaluate(expression: Expression): Value {
    switch (expression.is) {
      case 'text':
        return boundedText(expression.value);
      case 'number':
        return expression.value;
      case 'name':
        return this.lookUp(expression.name);
      case 'list':
        return boundedList(expression.items.map((item) => this.value(item)));
      case 'tuple':
        return new Tuple(boundedList(expression.items.map((item) => this.value(item))));
      case 'dict':
        return new Map(
          expression.entries.map(([key, value]) => [dictKey(this.value(key)), this.value(value)]),
        );
      case 'not':
        return !truth(this.value(expression.of));
      case 'minus':
        return -integer(this.value(expression.of));
      case 'choice':
        return this.value(truth(this.value(expression.test)) ? expression.yes : expression.no);
      case 'binary':
        return this.operation(expression);
      case 'each':
        return this.each(expression);
      case 'attribute':
        return attribute(this.value(expression.of), expression.name);
      case 'item':
        return item(this.value(expression.of), this.value(expression.index));
      case 'slice':
        return this.slice(expression);
      case 'call':
        return this.call(expression);
    }
  }

  private operation({ op, left, right }: Extract<Expression, { is: 'binary' }>): Value {
    const first = this.value(left);
    if (op === 'and') return truth(first) ? this.value(right) : first;
    if (op === 'or') return truth(first) ? first : this.value(right);
    return this.binary(op, first, this.value(right));
  }

  protected binary(op: string, a: Value, b: Value): Value {
    switch (op) {
      case '==':
      case 'is':
        return equal(a, b);
      case '!=':
      case '<>':
      case 'is not':
        return !equal(a, b);
      case 'in':
        return contains(b, a);
      case 'not in':
        return !contains(b, a);
      case '%':
        return typeof a === 'string' ? percent(a, b) : divide(a, b).rest;
      case '+':
        return plus(a, b);
      case '*':
        return times(a, b);
      case '-':
        return boundedNumber(integer(a) - integer(b));
      case '/':
      case '//':
        return divide(a, b).quotient;
      default:
        return ordered(op, a, b);
    }
  }

  private slice({ of, from, to }: Extract<Expression, { is: 'slice' }>): Value {
    const whole = this.value(of);
    const [first, last] = [from, to].map((each) =>
      each === undefined ? undefined : integer(this.value(each)),
    );
    if (typeof whole === 'string') return whole.slice(first, last);
    const part = items(whole).slice(first, last);
    return whole instanceof Tuple ? new Tuple(part) : part;
  }

  private call({ callee, args, named }: Extract<Expression, { is: 'call' }>): Value {
    const found = this.value(callee);
    if (!(found instanceof Callable)) throw new Fault(`${typeName(found)} is not a function`);
    const values = args.map((each) => this.value(each));
    return found.call(values, new Map(named.map(([name, each]) => [name, this.value(each)])));
  }

  protected setItem(of: Value, index: Value, value: Value): void {
    if (of instanceof Map) of.set(dictKey(index), value);
    else if (Array.isArray(of)) of[place(of, index)] = value;
    else throw new Fault(`${typeName(of)} cannot be changed`);
  }
}

function attribute(of: Value, name: string): Value {
  if (!(of instanceof Namespace)) return method(of, name);
  const path = `${of.path}.${name}`;
  if (path === 'os.path') return new Namespace(path);
  const found = of.members.get(name) ?? moduleMember(path);
  if (found === undefined) throw new Fault(`${path} is not evaluated here`);
  return found;
}

function place(of: readonly unknown[] | string, index: Value): number {
  const at = integer(index);
  const from0 = at < 0 ? at + of.length : at;
  if (from0 < 0 || from0 >= of.length) throw new Fault(`there is no item ${at}`);
  return from0;
}

function item(of: Value, index: Value): Value {
  if (of instanceof Map) return (of as Dict).get(dictKey(index)) ?? missing(index);
  const list = typeof of === 'string' ? of : items(of);
  return list[place(list, index)]!;
}

function missing(key: Value): never {
  throw new Fault(`there is no item ${JSON.stringify(key)}`);
}

function contains(list: Value, value: Value): boolean {
  if (typeof list === 'string') return list.includes(text(value));
  return items(list).some((each) => equal(each, value));
}

function plus(a: Value, b: Value): Value {
  if (typeof a === 'string' && typeof b === 'string') return boundedText(a + b);
  if (Array.isArray(a) && Array.isArray(b)) return boundedList([...a, ...b]);
  if (a instanceof Tuple && b instanceof Tuple) return new Tuple(boundedList([...a.items, ...b.items]));
  if (typeof a === 'string' || typeof b === 'string') throw new Fault(`${typeName(a)} + ${typeName(b)}`);
  return boundedNumber(integer(a) + integer(b));
}

function times(a: Value, b: Value): Value {
  if (typeof b === 'string' || Array.isArray(b)) return times(b, a);
  const count = Math.max(0, integer(b));
  if (typeof a !== 'string' && !Array.isArray(a)) return boundedNumber(integer(a) * integer(b));
  if (a.length * count > MAX_CONFIG_LIST) throw new Fault(`${typeName(a)} of ${a.length * count}`);
  return typeof a === 'string' ? a.repeat(count) : Array.from({ length: count }, () => a).flat();
}

/** Towards minus infinity, as Python does it. */
function divide(a: Value, b: Value): { quotient: number; rest: number } {
  const [left, right] = [integer(a), integer(b)];
  if (right === 0) throw new Fault('a division by 0');
  const quotient = Math.floor(left / right);
  return { quotient, rest: left - quotient * right };
}

function ordered(op: string, a: Value, b: Value): boolean {
  const [left, right] = typeof a === 'string' ? [a, text(b)] : [integer(a), integer(b)];
  if (op === '<') return left < right;
  if (op === '>') return left > right;
  return op === '<=' ? left <= right : left >= right;
}
