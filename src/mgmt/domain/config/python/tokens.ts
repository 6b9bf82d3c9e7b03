/**
 * Configurations of xm are programs in Python, those of xl look like it. This file cuts either into tokens. Nothing is refused here:
 * what is no token becomes one of the kind `bad`, and the parser says so at its line.
 */

export type TokenKind = 'name' | 'number' | 'text' | 'operator' | 'newline' | 'bad' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** A name, an operator, the digits of a number, what a string means, or what is wrong. */
  readonly text: string;
  readonly line: number;
  /** Column of the line's first token, for this and all other tokens of the line: Python's blocks go by it. */
  readonly indent: number;
  /** Nothing but blanks stands before it on its line. */
  readonly first: boolean;
}

const BLANK = /[ \t\f\r\v]*/y;
const COMMENT = /#[^\n]*/y;
const CONTINUED = /\\\r?\n/y;
const NAME = /[A-Za-z_][A-Za-z_0-9]*/y;
/** Python's integers, the old octal ones included. A decimal point is another token, which no expression has behind a number. */
const NUMBER = /(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|[0-9]+)[lL]?(?![A-Za-z_0-9])/y;
const OPERATOR = /==|!=|<>|<=|>=|\+=|\*\*|\/\/|[-+*/%=<>()[\]{},.:;]/y;
const PREFIX = /[uUbB]?[rR]?(?='|")/y;
const TAB = 8;

/** Escapes of one character that Python and xl know (Xen: xlu__cfgl_dequote). */
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

export class Tokens {
  readonly all: Token[] = [];
  private at = 0;
  private line = 1;
  private indent = 0;
  private first = true;

  constructor(private readonly source: string) {
    while (this.at < source.length) this.step();
    this.push('newline', '');
    this.push('end', '');
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const text = pattern.exec(this.source)?.[0];
    if (text !== undefined) this.at += text.length;
    return text;
  }

  private push(kind: TokenKind, text: string, line = this.line): void {
    this.all.push({ kind, text, line, indent: this.indent, first: this.first });
    this.first = false;
  }

  private step(): void {
    const blanks = this.take(BLANK)!;
    if (this.first) this.indent = columns(blanks);
    if (this.at === this.source.length) return;
    if (this.source[this.at] === '\n') {
      this.newline();
      return;
    }
    if (this.take(COMMENT) !== undefined) return;
    if (this.take(CONTINUED) !== undefined) {
      this.line++;
      return;
    }
    const prefix = this.take(PREFIX);
    if (prefix !== undefined) {
      this.quoted(/r/i.test(prefix));
      return;
    }
    const kinds = [
      ['name', NAME],
      ['number', NUMBER],
      ['operator', OPERATOR],
    ] as const;
    for (const [kind, pattern] of kinds) {
      const text = this.take(pattern);
      if (text !== undefined) {
        this.push(kind, text);
        return;
      }
    }
    this.push('bad', `${JSON.stringify(this.source[this.at++])} means nothing here`);
  }

  private newline(): void {
    if (!this.first) this.push('newline', '');
    this.at++;
    this.line++;
    this.first = true;
  }

  private quoted(raw: boolean): void {
    const { source, line } = this;
    const mark = source[this.at]!;
    const triple = source.startsWith(mark.repeat(3), this.at);
    const end = triple ? mark.repeat(3) : mark;
    const start = this.at + end.length;
    this.at = start;
    while (this.at < source.length && !source.startsWith(end, this.at)) {
      if (source[this.at] === '\n' && !triple) break;
      if (source[this.at] === '\\' && this.at + 1 < source.length) {
        if (source[this.at + 1] === '\n') this.line++;
        this.at++;
      } else if (source[this.at] === '\n') {
        this.line++;
      }
      this.at++;
    }
    if (!source.startsWith(end, this.at)) {
      this.push('bad', 'this string has no end', line);
      return;
    }
    const body = source.slice(start, this.at);
    this.at += end.length;
    this.push('text', raw ? body : meaning(body), line);
  }
}

function columns(blanks: string): number {
  let column = 0;
  for (const each of blanks) column = each === '\t' ? column - (column % TAB) + TAB : column + 1;
  return column;
}

/** An escape that is none stays as it is, as in Python. */
function meaning(body: string): string {
  return body.replace(/\\(?:\r?\n|x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g, (all, hex, octal, other) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
    if (other === undefined) return '';
    if (other === '\\' || other === "'" || other === '"') return other;
    return ESCAPES[other] ?? all;
  });
}
