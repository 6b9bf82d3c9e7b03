/**
 * Evaluates the programs that xm files are, without running anything: no file, no process, no environment. What cannot be evaluated
 * makes the names that it would have set unknown, and the rest goes on. Steps, sizes and depth have limits.
 */
import { MAX_CONFIG_NESTING, MAX_CONFIG_STEPS } from '../../../../base/limits.js';
import { Arithmetic } from './arithmetic.js';
import { builtin, moduleMember } from './builtins.js';
import { grow } from './methods.js';
import type { Block, Expression, Statement } from './syntax.js';
import { Callable, Fault, items, Namespace, TooLong, truth, Unknown, type Value } from './values.js';

export interface Binding {
  readonly value: Value;
  readonly line: number;
}

/** A statement of no name that could not be evaluated. */
export interface Trouble {
  readonly line: number;
  readonly why: string;
}

type Scope = Map<string, Binding>;
/** How a block ends before its end. */
type Leaving = 'break' | 'continue' | { readonly value: Value } | undefined;

export class Evaluator extends Arithmetic {
  readonly globals: Scope = new Map();
  readonly troubles: Trouble[] = [];
  /** Names that something else was made from. */
  readonly used = new Set<string>();
  private readonly scopes: Scope[] = [this.globals];
  private steps = 0;
  private line = 0;
  /** Below an except: there a fault is the program's own affair. */
  private guarded = 0;

  /** @throws never: what is wrong is in `troubles` and in unknown values */
  run(program: Block): void {
    try {
      this.block(program);
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      this.troubles.push({ line: this.line, why: error.message });
    }
  }

  /** Also its size counts: memory is as bounded as time. */
  protected override spend(value?: Value): void {
    const size = typeof value === 'string' || Array.isArray(value) ? value.length : 0;
    this.steps += 1 + (size >> 6);
    if (this.steps > MAX_CONFIG_STEPS)
      throw new TooLong('the program goes on for too long: it is not evaluated further');
  }

  private get scope(): Scope {
    return this.scopes.at(-1)!;
  }

  private block(statements: Block): Leaving {
    for (const statement of statements) {
      this.line = statement.line;
      this.spend();
      try {
        const leaving = this.statement(statement);
        if (leaving !== undefined) return leaving;
      } catch (error) {
        if (!(error instanceof Fault) || this.scopes.length > 1 || this.guarded > 0) throw error;
        this.failed(statement, error.message);
      }
    }
    return undefined;
  }

  /** At the top level: what it would have set is unknown now. */
  private failed(statement: Statement, why: string): void {
    const names = [...assignedNames([statement])];
    for (const name of names) this.globals.set(name, { value: new Unknown(why), line: statement.line });
    if (
      statement.is !== 'assign' &&
      statement.is !== 'def' &&
      !(statement.is === 'unread' && names.length > 0)
    ) {
      this.troubles.push({ line: statement.line, why });
    }
  }

  private statement(statement: Statement): Leaving {
    switch (statement.is) {
      case 'assign':
        this.assignment(statement);
        return undefined;
      case 'expression':
        this.value(statement.value!);
        return undefined;
      case 'if':
        return this.block(truth(this.value(statement.test)) ? statement.body : statement.otherwise);
      case 'while':
        return this.loop(() => (truth(this.value(statement.test)) ? this.block(statement.body) : 'break'));
      case 'for':
        return this.forEach(statement.target, this.value(statement.over), () => this.block(statement.body));
      case 'try':
        return this.attempt(statement);
      case 'def':
        this.define(statement);
        return undefined;
      case 'import':
        for (const { path, as } of statement.names) this.bind(as, moduleMember(path) ?? new Namespace(path));
        return undefined;
      case 'return':
        return { value: statement.value === undefined ? null : this.value(statement.value) };
      case 'raise':
        throw new Fault(`the program raises an exception in line ${statement.line}`);
      case 'unread':
        throw new Fault(statement.why);
      case 'pass':
        return undefined;
      default:
        return statement.is;
    }
  }

  private loop(turn: () => Leaving): Leaving {
    for (;;) {
      this.spend();
      const leaving = turn();
      if (leaving === 'break') return undefined;
      if (typeof leaving === 'object') return leaving;
    }
  }

  private forEach(target: Expression, over: Value, turn: () => Leaving): Leaving {
    const list = [...items(over)];
    let next = 0;
    return this.loop(() => {
      if (next === list.length) return 'break';
      this.assign(target, list[next++]!);
      return turn();
    });
  }

  private attempt({ body, except, last }: Extract<Statement, { is: 'try' }>): Leaving {
    this.guarded++;
    let leaving: Leaving;
    let fault = false;
    try {
      leaving = this.block(body);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      fault = true;
    } finally {
      this.guarded--;
    }
    if (fault) leaving = this.block(except);
    return leaving ?? this.block(last);
  }

  private assignment({ op, targets, value }: Extract<Statement, { is: 'assign' }>): void {
    const result = this.value(value);
    for (const target of targets) {
      if (op === '=') this.assign(target, result);
      else this.add(target, result);
    }
  }

  private add(target: Expression, more: Value): void {
    const old = this.value(target);
    if (Array.isArray(old)) grow(old, items(more));
    else this.assign(target, this.binary('+', old, more));
  }

  private assign(target: Expression, value: Value): void {
    if (target.is === 'name') this.bind(target.name, value);
    else if (target.is === 'item') this.setItem(this.value(target.of), this.value(target.index), value);
    else if (target.is === 'tuple' || target.is === 'list') {
      const values = items(value);
      if (values.length !== target.items.length)
        throw new Fault(`${values.length} values for ${target.items.length} names`);
      target.items.forEach((each, i) => {
        this.assign(each, values[i]!);
      });
    } else throw new Fault('this cannot be assigned to');
  }

  private bind(name: string, value: Value): void {
    this.scope.set(name, { value, line: this.line });
  }

  private define({ name, parameters, body, line }: Extract<Statement, { is: 'def' }>): void {
    const defaults = parameters.map(({ otherwise }) => otherwise && this.value(otherwise));
    const call = (args: readonly Value[], named: ReadonlyMap<string, Value>): Value => {
      if (args.length > parameters.length) throw new Fault(`${name}() takes ${parameters.length} arguments`);
      const scope: Scope = new Map();
      parameters.forEach((parameter, i) => {
        const value = args[i] ?? named.get(parameter.name) ?? defaults[i];
        if (value === undefined) throw new Fault(`${name}() needs ${parameter.name}`);
        scope.set(parameter.name, { value, line });
      });
      return this.inside(scope, body);
    };
    this.bind(name, new Callable(name, call));
  }

  private inside(scope: Scope, body: Block): Value {
    if (this.scopes.length > MAX_CONFIG_NESTING) throw new Fault('functions call each other too deeply');
    const { line } = this;
    this.scopes.push(scope);
    try {
      const leaving = this.block(body);
      return typeof leaving === 'object' ? leaving.value : null;
    } finally {
      this.scopes.pop();
      this.line = line;
    }
  }

  protected override lookUp(name: string): Value {
    this.used.add(name);
    const value = (this.scope.get(name) ?? this.globals.get(name))?.value ?? builtin(name);
    if (value === undefined) throw new Fault(`the name ${name} is not known`);
    return value;
  }

  protected override each({ body, target, over, test }: Extract<Expression, { is: 'each' }>): Value[] {
    const made: Value[] = [];
    const names = target.is === 'tuple' ? target.items : [target];
    const { scope } = this;
    const hidden = names.map((each) =>
      each.is === 'name' ? ([each.name, scope.get(each.name)] as const) : undefined,
    );
    this.forEach(target, this.value(over), () => {
      if (test === undefined || truth(this.value(test))) grow(made, [this.value(body)]);
      return undefined;
    });
    // The loop's names are its own.
    for (const [name, binding] of hidden.filter((each) => each !== undefined)) {
      if (binding === undefined) scope.delete(name);
      else scope.set(name, binding);
    }
    return made;
  }
}

/** What a block may set, wherever in it. */
function assignedNames(statements: Block, names = new Set<string>()): Set<string> {
  const target = (expression: Expression) => {
    if (expression.is === 'name') names.add(expression.name);
    else if (expression.is === 'item') target(expression.of);
    else if (expression.is === 'tuple' || expression.is === 'list') expression.items.forEach(target);
  };
  for (const statement of statements) {
    if (statement.is === 'assign') statement.targets.forEach(target);
    else if (statement.is === 'unread' && statement.name !== undefined) names.add(statement.name);
    else if (statement.is === 'def') names.add(statement.name);
    else if (statement.is === 'for') target(statement.target);
    if ('body' in statement && statement.is !== 'def') assignedNames(statement.body, names);
    if ('otherwise' in statement) assignedNames(statement.otherwise, names);
    if (statement.is === 'try') assignedNames([...statement.except, ...statement.last], names);
  }
  return names;
}
