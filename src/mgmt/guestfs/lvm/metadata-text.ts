/** LVM2's metadata as text: sections in braces, `name = value`, comments (lvm2, libdm/config). */
import { damaged } from '../errors.js';

export type LvmValue = number | string | LvmValue[];
export interface LvmSection {
  readonly values: ReadonlyMap<string, LvmValue>;
  readonly sections: ReadonlyMap<string, LvmSection>;
}

/** Sections lie four deep: volume group, its volumes, one of them, a segment of it; arrays one. */
const MAX_DEPTH = 8;
const TOKEN = /\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?)|([A-Za-z0-9_.+-]+)|([{}[\]=,])/sy;

interface Token {
  readonly kind: 'string' | 'number' | 'name' | 'mark';
  readonly text: string;
}

/** @throws XennerError EGUEST_DISK_DAMAGED */
export function parseLvmText(text: string): LvmSection {
  const tokens = [...tokensOf(text)];
  const reader = new Reader(tokens);
  return reader.section(0);
}

function* tokensOf(text: string): Generator<Token> {
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null)
      throw damaged(`LVM2's metadata makes no sense at ${JSON.stringify(text.slice(at, at + 20))}`);
    const [, string, number, name, mark] = match;
    if (string !== undefined) yield { kind: 'string', text: string.replace(/\\(.)/gs, '$1') };
    else if (number !== undefined) yield { kind: 'number', text: number };
    else if (name !== undefined) yield { kind: 'name', text: name };
    else if (mark !== undefined) yield { kind: 'mark', text: mark };
  }
}

class Reader {
  private at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  /** Up to the brace that closes it, or at depth 0 to the end. */
  section(depth: number): LvmSection {
    if (depth > MAX_DEPTH) throw damaged("LVM2's metadata has too many sections in one another");
    const values = new Map<string, LvmValue>();
    const sections = new Map<string, LvmSection>();
    for (;;) {
      const token = this.tokens[this.at++];
      if (token === undefined && depth === 0) return { values, sections };
      if (token?.kind === 'mark' && token.text === '}' && depth > 0) return { values, sections };
      if (token === undefined || token.kind === 'mark') throw this.wrong();
      const mark = this.tokens[this.at++]?.text;
      if (mark === '{') sections.set(token.text, this.section(depth + 1));
      else if (mark === '=') values.set(token.text, this.value(depth + 1));
      else throw this.wrong();
    }
  }

  private value(depth: number): LvmValue {
    const token = this.tokens[this.at++];
    if (token?.kind === 'string') return token.text;
    if (token?.kind === 'number') return Number(token.text);
    if (token?.text !== '[' || depth > MAX_DEPTH) throw this.wrong();
    const list: LvmValue[] = [];
    while (this.tokens[this.at]?.text !== ']' || this.tokens[this.at]?.kind !== 'mark') {
      list.push(this.value(depth + 1));
      if (this.tokens[this.at]?.text === ',') this.at++;
    }
    this.at++;
    return list;
  }

  private wrong(): Error {
    return damaged(
      `LVM2's metadata makes no sense at ${JSON.stringify(this.tokens[this.at - 1]?.text ?? 'its end')}`,
    );
  }
}
