/** Python's expressions, by precedence. Newlines count for nothing inside brackets. */
import { MAX_CONFIG_NESTING } from '../../../../base/limits.js';
import type { Expression } from './syntax.js';
import type { Token, TokenKind } from './tokens.js';

export class SyntaxFault extends Error {}

/** Loosest first; `not` and comparisons stand between `and` and `+`. */
const COMPARISONS = ['==', '!=', '<>', '<', '>', '<=', '>=', 'in', 'not in', 'is', 'is not'];
const KEYWORDS = new Set(
  'and as break class continue def del elif else except exec finally for from global if import in is lambda not or pass print raise return try while with yield'.split(
    ' ',
  ),
);

export class ExpressionParser {
  protected at = 0;
  protected brackets = 0;
  protected nesting = 0;

  constructor(protected readonly tokens: readonly Token[]) {}

  /** Also outside brackets: `a, b`. */
  expressions(): Expression {
    const first = this.expression();
    if (!this.is(',')) return first;
    const items = [first];
    while (this.accept(',')) if (this.startsExpression()) items.push(this.expression());
    return { is: 'tuple', items, line: first.line };
  }

  expression(): Expression {
    return this.nested(() => {
      const yes = this.or();
      if (!this.is('if')) return yes;
      const { line } = this.next();
      const test = this.or();
      this.expect('else');
      return { is: 'choice', test, yes, no: this.expression(), line };
    });
  }

  protected get token(): Token {
    while (this.brackets > 0 && this.tokens[this.at]!.kind === 'newline') this.at++;
    return this.tokens[this.at]!;
  }

  protected next(): Token {
    const { token } = this;
    if (token.kind !== 'end') this.at++;
    return token;
  }

  protected is(text: string): boolean {
    const { kind, text: found } = this.token;
    return found === text && (kind === 'operator' || kind === 'name');
  }

  protected isKind(...kinds: readonly TokenKind[]): boolean {
    return kinds.includes(this.token.kind);
  }

  protected accept(text: string): boolean {
    const found = this.is(text);
    if (found) this.next();
    return found;
  }

  protected expect(text: string): void {
    if (!this.accept(text)) throw this.fault(`"${text}" is expected`);
  }

  protected name(): string {
    if (this.token.kind !== 'name' || KEYWORDS.has(this.token.text)) throw this.fault('a name is expected');
    return this.next().text;
  }

  protected fault(what: string): SyntaxFault {
    const { kind, text } = this.token;
    if (kind === 'bad') return new SyntaxFault(text);
    if (kind === 'newline' || kind === 'end') return new SyntaxFault(`${what} before the end of the line`);
    return new SyntaxFault(`${what} instead of ${JSON.stringify(text)}`);
  }

  protected nested<T>(parse: () => T): T {
    if (++this.nesting > MAX_CONFIG_NESTING) throw new SyntaxFault('this is nested too deeply');
    const result = parse();
    this.nesting--;
    return result;
  }

  protected within<T>(close: string, parse: () => T): T {
    this.next();
    this.brackets++;
    const result = parse();
    if (!this.is(close)) throw this.fault(`"${close}" is expected`);
    this.brackets--;
    this.at++;
    return result;
  }

  private startsExpression(): boolean {
    const { kind, text } = this.token;
    if (kind === 'operator') return ['(', '[', '{', '-', '+'].includes(text);
    return kind !== 'newline' && kind !== 'end' && (text === 'not' || !KEYWORDS.has(text));
  }

  private leftToRight(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const { text, line } = this.token;
      if (!operators.some((op) => this.is(op))) return left;
      this.next();
      left = { is: 'binary', op: text, left, right: operand(), line };
    }
  }

  private or(): Expression {
    return this.leftToRight(['or'], () => this.leftToRight(['and'], () => this.not()));
  }

  private not(): Expression {
    if (!this.is('not')) return this.comparison();
    const { line } = this.next();
    return { is: 'not', of: this.nested(() => this.not()), line };
  }

  /** One comparison: `a < b < c` is not among what configurations do. */
  private comparison(): Expression {
    const left = this.sum();
    const { line } = this.token;
    let op = COMPARISONS.find((each) => this.is(each));
    if (op === undefined && this.is('not')) op = 'not in';
    if (op === undefined) return left;
    this.next();
    if (op === 'not in') this.expect('in');
    if (op === 'is' && this.accept('not')) op = 'is not';
    return { is: 'binary', op, left, right: this.sum(), line };
  }

  private sum(): Expression {
    return this.leftToRight(['+', '-'], () => this.leftToRight(['*', '/', '//', '%'], () => this.unary()));
  }

  private unary(): Expression {
    if (this.accept('+')) return this.nested(() => this.unary());
    if (!this.is('-')) return this.primary();
    const { line } = this.next();
    return { is: 'minus', of: this.nested(() => this.unary()), line };
  }

  private primary(): Expression {
    let of = this.atom();
    for (;;) {
      const { line } = this.token;
      if (this.accept('.')) of = { is: 'attribute', of, name: this.name(), line };
      else if (this.is('(')) of = this.call(of);
      else if (this.is('[')) of = this.subscript(of);
      else return of;
    }
  }

  private call(callee: Expression): Expression {
    const { line } = this.token;
    const args: Expression[] = [];
    const named: [string, Expression][] = [];
    this.within(')', () => {
      while (!this.is(')')) {
        const argument = this.expression();
        if (argument.is === 'name' && this.accept('=')) named.push([argument.name, this.expression()]);
        else args.push(this.is('for') ? this.each(argument) : argument);
        if (!this.accept(',')) break;
      }
    });
    return { is: 'call', callee, args, named, line };
  }

  private subscript(of: Expression): Expression {
    const { line } = this.token;
    return this.within(']', () => {
      const from = this.is(':') ? undefined : this.expression();
      if (!this.accept(':')) return { is: 'item', of, index: from!, line };
      const to = this.is(']') ? undefined : this.expression();
      return { is: 'slice', of, from, to, line };
    });
  }

  private atom(): Expression {
    const { kind, text, line } = this.token;
    if (kind === 'text') return { is: 'text', value: this.strings(), line };
    if (kind === 'number') return { is: 'number', value: integer(this.next().text), line };
    if (this.is('(')) return this.parenthesized();
    if (this.is('[')) return this.list();
    if (this.is('{')) return this.dict();
    if (text === 'lambda') throw new SyntaxFault('lambda is beyond what is evaluated here');
    if (kind !== 'name' || KEYWORDS.has(text)) throw this.fault('a value is expected');
    return { is: 'name', name: this.name(), line };
  }

  /** Strings that follow each other are one. */
  private strings(): string {
    let value = '';
    while (this.token.kind === 'text') value += this.next().text;
    return value;
  }

  private parenthesized(): Expression {
    const { line } = this.token;
    return this.within(')', () => {
      if (this.is(')')) return { is: 'tuple', items: [], line };
      const value = this.expressions();
      return this.is('for') ? this.each(value) : value;
    });
  }

  private list(): Expression {
    const { line } = this.token;
    return this.within(']', () => {
      const items: Expression[] = [];
      while (!this.is(']')) {
        items.push(this.expression());
        if (this.is('for')) return this.each(items[0]!);
        if (!this.accept(',')) break;
      }
      return { is: 'list', items, line };
    });
  }

  private dict(): Expression {
    const { line } = this.token;
    return this.within('}', () => {
      const entries: [Expression, Expression][] = [];
      while (!this.is('}')) {
        const key = this.expression();
        this.expect(':');
        entries.push([key, this.expression()]);
        if (!this.accept(',')) break;
      }
      return { is: 'dict', entries, line };
    });
  }

  /** `body for target in over if test`. */
  private each(body: Expression): Expression {
    const { line } = this.next();
    const target = this.target();
    this.expect('in');
    const over = this.or();
    const test = this.accept('if') ? this.or() : undefined;
    return { is: 'each', body, target, over, test, line };
  }

  /** What a loop assigns to: one name, or several. */
  protected target(): Expression {
    const { line } = this.token;
    const items: Expression[] = [];
    do items.push({ is: 'name', name: this.name(), line });
    while (this.accept(','));
    return items.length === 1 ? items[0]! : { is: 'tuple', items, line };
  }
}

function integer(text: string): number {
  const digits = text.replace(/[lL]$/, '');
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (!Number.isSafeInteger(value)) throw new SyntaxFault(`${digits} is too big a number`);
  return value;
}
