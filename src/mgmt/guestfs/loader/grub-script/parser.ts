/** Statements of GRUB 2's script language (grub-core/script/parser.y). */
import { XennerError } from '../../../../base/errors.js';
import { MAX_BOOT_SCRIPT_DEPTH } from '../../../../base/limits.js';
import { type Token, tokens, type Word } from './lexer.js';

export type Script = readonly Statement[];

export type Statement =
  /** `block`: what menuentry and submenu have in braces. */
  | { readonly kind: 'command'; readonly words: readonly Word[]; readonly block?: Script }
  | { readonly kind: 'if'; readonly branches: readonly Branch[]; readonly otherwise: Script }
  | { readonly kind: 'for'; readonly name: string; readonly words: readonly Word[]; readonly body: Script }
  | { readonly kind: 'while'; readonly until: boolean; readonly condition: Script; readonly body: Script }
  | { readonly kind: 'function'; readonly name: string; readonly body: Script };

export interface Branch {
  readonly condition: Script;
  readonly body: Script;
}

/** @throws XennerError EBOOT_CONFIG with the line where it makes no sense */
export function parseScript(text: string, path: string): Script {
  const parser = new Parser([...tokens(text)], path);
  return parser.statements([], 0);
}

/** The word as it stands there, if nothing of it is quoted or variable: only then it can be a keyword. */
function bare(token: Token | undefined): string | undefined {
  if (token?.kind !== 'word') return undefined;
  const [first, ...others] = token.word;
  return first && others.length === 0 && 'text' in first && !first.isQuoted ? first.text : undefined;
}

class Parser {
  private at = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly path: string,
  ) {}

  /** Up to one of the keywords, or `}`, which is left there; with none, up to the end of the text. */
  statements(until: readonly string[], depth: number): Script {
    if (depth > MAX_BOOT_SCRIPT_DEPTH) throw this.wrong('too many statements in one another');
    const found: Statement[] = [];
    for (;;) {
      while (this.peek()?.kind === 'end') this.at++;
      const token = this.peek();
      if (token === undefined) {
        if (until.length > 0) throw this.wrong(`no '${until[0]}' before the end`);
        return found;
      }
      if (until.includes(token.kind) || until.includes(bare(token) ?? '')) return found;
      found.push(this.statement(depth + 1));
    }
  }

  private statement(depth: number): Statement {
    switch (bare(this.peek())) {
      case 'if':
        return this.conditional(depth);
      case 'for':
        return this.loopOverWords(depth);
      case 'while':
      case 'until':
        return this.loop(depth);
      case 'function': {
        this.at++;
        const name = bare(this.tokens[this.at++]);
        if (name === undefined) throw this.wrong('a function without a name');
        return { kind: 'function', name, body: this.block(depth) };
      }
      default:
        return this.command(depth);
    }
  }

  private conditional(depth: number): Statement {
    const branches: Branch[] = [];
    do {
      this.at++;
      const condition = this.statements(['then'], depth);
      this.at++;
      branches.push({ condition, body: this.statements(['fi', 'elif', 'else'], depth) });
    } while (bare(this.peek()) === 'elif');
    let otherwise: Script = [];
    if (bare(this.peek()) === 'else') {
      this.at++;
      otherwise = this.statements(['fi'], depth);
    }
    this.at++;
    return { kind: 'if', branches, otherwise };
  }

  private loopOverWords(depth: number): Statement {
    this.at++;
    const name = bare(this.tokens[this.at++]);
    if (name === undefined || bare(this.tokens[this.at++]) !== 'in') throw this.wrong("'for' without 'in'");
    const words: Word[] = [];
    for (let token = this.peek(); token?.kind === 'word'; token = this.peek()) {
      words.push(token.word);
      this.at++;
    }
    return { kind: 'for', name, words, body: this.doneBody(depth) };
  }

  private loop(depth: number): Statement {
    const until = bare(this.tokens[this.at++]) === 'until';
    const condition = this.statements(['do'], depth);
    return { kind: 'while', until, condition, body: this.doneBody(depth) };
  }

  private doneBody(depth: number): Script {
    while (this.peek()?.kind === 'end') this.at++;
    if (bare(this.tokens[this.at++]) !== 'do') throw this.wrong("a loop without 'do'");
    const body = this.statements(['done'], depth);
    this.at++;
    return body;
  }

  private block(depth: number): Script {
    while (this.peek()?.kind === 'end') this.at++;
    if (this.tokens[this.at++]?.kind !== '{') throw this.wrong("no '{'");
    const body = this.statements(['}'], depth);
    this.at++;
    return body;
  }

  private command(depth: number): Statement {
    const words: Word[] = [];
    for (let token = this.peek(); token !== undefined; token = this.peek()) {
      if (token.kind === '{' && words.length > 0) return { kind: 'command', words, block: this.block(depth) };
      if (token.kind !== 'word') break;
      words.push(token.word);
      this.at++;
    }
    if (words.length === 0) throw this.wrong('a brace that belongs to nothing');
    return { kind: 'command', words };
  }

  private peek(): Token | undefined {
    return this.tokens[this.at];
  }

  private wrong(what: string): XennerError {
    const line = (this.peek() ?? this.tokens.at(-1))?.line ?? 1;
    return new XennerError('EBOOT_CONFIG', `${this.path} in the guest, line ${line}: ${what}`);
  }
}
