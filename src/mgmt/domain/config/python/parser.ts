/** Python's statements. One that cannot be read is told with its line, and reading goes on behind it. */
import { ExpressionParser, SyntaxFault } from './expressions.js';
import type { Block, Expression, Parameter, Statement } from './syntax.js';
import { type Token, Tokens } from './tokens.js';

export function parsePython(source: string): Block {
  return new Parser(new Tokens(source).all).program();
}

class Parser extends ExpressionParser {
  program(): Block {
    const statements: Statement[] = [];
    while (!this.isKind('end')) this.line(statements);
    return statements;
  }

  /** One line's statements, or one with its blocks. Outside blocks its indentation says nothing: xl does not mind. */
  private line(into: Statement[]): void {
    const start = this.at;
    const { nesting } = this;
    try {
      this.statements(into);
    } catch (error) {
      if (!(error instanceof SyntaxFault)) throw error;
      this.brackets = 0;
      this.nesting = nesting;
      into.push(this.unread(start, error.message));
    }
  }

  private statements(into: Statement[]): void {
    if (this.isKind('newline')) {
      this.next();
      return;
    }
    const compound = this.compound();
    if (compound !== undefined) {
      into.push(compound);
      return;
    }
    do {
      if (this.isKind('newline')) break;
      into.push(this.simple());
    } while (this.accept(';'));
    if (!this.isKind('newline')) throw this.fault('the end of the statement is expected');
    this.next();
  }

  /** Goes to the next line, or to the start of the line with the fault if a bracket or string of an earlier one ran into it. */
  private unread(start: number, why: string): Statement {
    const { tokens } = this;
    const { line } = tokens[start]!;
    const at = tokens[this.at]!;
    const name = assigned(tokens, start);
    let begin = this.at;
    while (begin > start && !tokens[begin]!.first) begin--;
    if (at.line > line && begin > start && assigned(tokens, begin) !== undefined) {
      this.at = begin;
    } else {
      while (tokens[this.at]!.kind !== 'newline' && tokens[this.at]!.kind !== 'end') this.at++;
      if (tokens[start]!.kind === 'name' && BLOCKS.has(tokens[start]!.text)) this.skipBlock(tokens[start]!);
    }
    return { is: 'unread', why, name, line: at.kind === 'bad' ? at.line : line };
  }

  /** The lines below a header that makes no sense make none either. */
  private skipBlock(header: Token): void {
    const { tokens } = this;
    while (tokens[this.at]!.kind !== 'end') {
      if (tokens[this.at]!.first && tokens[this.at]!.indent <= header.indent) return;
      this.at++;
    }
  }

  private compound(): Statement | undefined {
    const header = this.token;
    if (header.kind !== 'name') return undefined;
    switch (header.text) {
      case 'if':
        return this.conditional(header);
      case 'while': {
        this.next();
        const test = this.expression();
        return { is: 'while', test, body: this.block(header), otherwise: [], line: header.line };
      }
      case 'for':
        return this.loop(header);
      case 'def':
        return this.definition(header);
      case 'try':
        return this.attempt(header);
      case 'class':
      case 'with':
        throw new SyntaxFault(`"${header.text}" is beyond what is evaluated here`);
      default:
        return undefined;
    }
  }

  private conditional(header: Token): Statement {
    const { line } = this.next();
    const test = this.expression();
    const body = this.block(header);
    let otherwise: Block = [];
    if (this.continues(header, 'elif')) otherwise = [this.nested(() => this.conditional(header))];
    else if (this.continues(header, 'else')) otherwise = this.clause(header);
    return { is: 'if', test, body, otherwise, line };
  }

  private loop(header: Token): Statement {
    this.next();
    const target = this.target();
    this.expect('in');
    const over = this.expressions();
    return { is: 'for', target, over, body: this.block(header), line: header.line };
  }

  private definition(header: Token): Statement {
    this.next();
    const name = this.name();
    const parameters: Parameter[] = [];
    if (!this.is('(')) throw this.fault('"(" is expected');
    this.within(')', () => {
      while (!this.is(')')) {
        const parameter = this.name();
        parameters.push({ name: parameter, otherwise: this.accept('=') ? this.expression() : undefined });
        if (!this.accept(',')) break;
      }
    });
    return { is: 'def', name, parameters, body: this.block(header), line: header.line };
  }

  private attempt(header: Token): Statement {
    const body = this.clause(header);
    let except: Block = [];
    let last: Block = [];
    while (this.continues(header, 'except')) {
      this.next();
      while (!this.is(':') && !this.isKind('newline', 'end')) this.next();
      const handler = this.block(header);
      if (except.length === 0) except = handler;
    }
    if (this.continues(header, 'finally')) last = this.clause(header);
    return { is: 'try', body, except, last, line: header.line };
  }

  /** Whether a clause of the same statement follows. */
  private continues(header: Token, word: string): boolean {
    return this.token.first && this.token.indent === header.indent && this.is(word);
  }

  private clause(header: Token): Block {
    this.next();
    return this.block(header);
  }

  /** What is indented further than the header, or what follows it on its line. */
  private block(header: Token): Block {
    this.expect(':');
    const body: Statement[] = [];
    this.nested(() => {
      if (!this.isKind('newline')) {
        this.statements(body);
        return;
      }
      this.next();
      if (this.token.indent <= header.indent) throw this.fault('an indented line is expected');
      while (!this.isKind('end') && this.token.indent > header.indent) this.line(body);
    });
    return body;
  }

  private simple(): Statement {
    const { text, kind, line } = this.token;
    if (kind !== 'name') return this.assignment();
    switch (text) {
      case 'pass':
      case 'break':
      case 'continue':
        this.next();
        return { is: text, line };
      case 'return':
      case 'raise':
        this.next();
        return { is: text, value: this.atEnd() ? undefined : this.expressions(), line };
      case 'import':
      case 'from':
        return this.importing();
      case 'print':
        while (!this.atEnd()) this.next();
        return { is: 'pass', line };
      default:
        return this.assignment();
    }
  }

  private atEnd(): boolean {
    return this.isKind('newline', 'end') || this.is(';');
  }

  private assignment(): Statement {
    const { line } = this.token;
    let value = this.expressions();
    const targets: Expression[] = [];
    if (this.accept('+='))
      return { is: 'assign', op: '+=', targets: [value], value: this.expressions(), line };
    while (this.accept('=')) {
      targets.push(value);
      value = this.expressions();
    }
    return targets.length === 0
      ? { is: 'expression', value, line }
      : { is: 'assign', op: '=', targets, value, line };
  }

  /** `import os, re`, `import os.path as path`, `from os import uname`. */
  private importing(): Statement {
    const { text, line } = this.next();
    const base = text === 'from' ? this.dotted() : undefined;
    if (base !== undefined) this.expect('import');
    const names: { path: string; as: string }[] = [];
    do {
      const name = this.dotted();
      const path = base === undefined ? name : `${base}.${name}`;
      const [top] = name.split('.') as [string];
      if (this.accept('as')) names.push({ path, as: this.name() });
      else names.push({ path: base === undefined ? top : path, as: top });
    } while (this.accept(','));
    return { is: 'import', names, line };
  }

  private dotted(): string {
    let path = this.name();
    while (this.accept('.')) path += `.${this.name()}`;
    return path;
  }
}

const BLOCKS = new Set('if while for def try class with else elif except finally'.split(' '));

/** The name before `=`, if that is how a line begins. */
function assigned(tokens: readonly Token[], at: number): string | undefined {
  const [name, sign] = [tokens[at], tokens[at + 1]];
  if (name?.kind !== 'name' || sign?.kind !== 'operator') return undefined;
  return sign.text === '=' || sign.text === '+=' ? name.text : undefined;
}
