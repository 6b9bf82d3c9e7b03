/** Words of GRUB 2's script language (GRUB manual, "Shell-like scripting"; grub-core/script/yylex.l). */

/** A piece of a word. What was not quoted is split at blanks after a variable was put in, and may vanish. */
export type Part =
  | { readonly text: string; readonly isQuoted: boolean }
  | { readonly variable: string; readonly isQuoted: boolean };

export type Word = readonly Part[];

export type Token =
  | { readonly kind: 'word'; readonly word: Word; readonly line: number }
  /** The end of a line or a semicolon. */
  | { readonly kind: 'end' | '{' | '}'; readonly line: number };

const BLANK = /[ \t\r]/;
/** What ends a word that is not quoted. */
const DELIMITER = /[ \t\r\n;|&<>{}]/;
const VARIABLE = /\$(?:\{([A-Za-z0-9_?#@*]+)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9?#@*]))/y;

export function* tokens(text: string): Generator<Token> {
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const char = text[at]!;
    if (char === '\\' && text[at + 1] === '\n') {
      at += 2;
      line++;
    } else if (BLANK.test(char)) {
      at++;
    } else if (char === '#') {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if (
      char === '\n' ||
      char === ';' ||
      char === '|' ||
      char === '&' ||
      char === '<' ||
      char === '>'
    ) {
      // GRUB has no pipes or redirections, and refuses what has them; here they only end a command.
      yield { kind: 'end', line };
      if (char === '\n') line++;
      at++;
    } else if (char === '{' || char === '}') {
      yield { kind: char, line };
      at++;
    } else {
      const { word, end } = readWord(text, at);
      yield { kind: 'word', word, line };
      for (let i = at; i < end; i++) if (text[i] === '\n') line++;
      at = end;
    }
  }
}

function readWord(text: string, start: number): { word: Word; end: number } {
  const word: Part[] = [];
  let plain = '';
  const push = (part?: Part): void => {
    if (plain !== '') word.push({ text: plain, isQuoted: false });
    plain = '';
    if (part) word.push(part);
  };
  let at = start;
  while (at < text.length && !DELIMITER.test(text[at]!)) {
    const char = text[at]!;
    if (char === "'") {
      const close = text.indexOf("'", at + 1);
      const end = close < 0 ? text.length : close;
      push({ text: text.slice(at + 1, end), isQuoted: true });
      at = end + 1;
    } else if (char === '"') {
      push();
      at = readDoubleQuoted(text, at + 1, word);
    } else if (char === '\\') {
      // A quoted character; a line's end that is quoted is none.
      if (text[at + 1] !== '\n') push({ text: text[at + 1] ?? '', isQuoted: true });
      at += 2;
    } else {
      const variable = variableAt(text, at);
      if (variable) push({ variable: variable.name, isQuoted: false });
      else plain += char;
      at = variable?.end ?? at + 1;
    }
  }
  push();
  return { word, end: Math.min(at, text.length) };
}

/** Adds what is up to the closing quotation mark. Returns where it goes on behind it. */
function readDoubleQuoted(text: string, start: number, word: Part[]): number {
  let plain = '';
  let at = start;
  while (at < text.length && text[at] !== '"') {
    const variable = variableAt(text, at);
    if (variable) {
      word.push({ text: plain, isQuoted: true }, { variable: variable.name, isQuoted: true });
      plain = '';
      at = variable.end;
    } else if (text[at] === '\\' && /["$\\\n]/.test(text[at + 1] ?? '')) {
      if (text[at + 1] !== '\n') plain += text[at + 1];
      at += 2;
    } else {
      plain += text[at++];
    }
  }
  word.push({ text: plain, isQuoted: true });
  return at + 1;
}

function variableAt(text: string, at: number): { name: string; end: number } | undefined {
  VARIABLE.lastIndex = at;
  const match = text[at] === '$' ? VARIABLE.exec(text) : null;
  return match ? { name: (match[1] ?? match[2])!, end: VARIABLE.lastIndex } : undefined;
}
