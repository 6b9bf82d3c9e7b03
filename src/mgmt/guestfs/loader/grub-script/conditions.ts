/** `[ ... ]` and `test` of GRUB 2 (grub-core/commands/test.c). */

/** What a condition can ask of files; a path may begin with a device in parentheses. */
export interface FileTests {
  isFile(path: string): Promise<boolean>;
  isDirectory(path: string): Promise<boolean>;
  isNotEmpty(path: string): Promise<boolean>;
}

const COMPARISONS: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  '=': (a, b) => a === b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '-eq': (a, b) => number(a) === number(b),
  '-ne': (a, b) => number(a) !== number(b),
  '-lt': (a, b) => number(a) < number(b),
  '-le': (a, b) => number(a) <= number(b),
  '-gt': (a, b) => number(a) > number(b),
  '-ge': (a, b) => number(a) >= number(b),
};

const number = (text: string): number => Number.parseInt(text, 10) || 0;

/** `-o` binds less than `-a`; what makes no sense is false. */
export async function evaluate(words: readonly string[], files: FileTests): Promise<boolean> {
  for (const alternative of splitAt(words, '-o')) {
    let holds = true;
    for (const term of splitAt(alternative, '-a')) holds = holds && (await evaluateTerm(term, files));
    if (holds) return true;
  }
  return false;
}

/** Parentheses keep what is in them together. */
function splitAt(words: readonly string[], operator: string): string[][] {
  const pieces: string[][] = [[]];
  let depth = 0;
  for (const word of words) {
    if (word === '(') depth++;
    if (word === ')') depth--;
    if (word === operator && depth === 0) pieces.push([]);
    else pieces.at(-1)!.push(word);
  }
  return pieces;
}

async function evaluateTerm(words: readonly string[], files: FileTests): Promise<boolean> {
  let start = 0;
  while (words[start] === '!') start++;
  const term = words.slice(start);
  return (await evaluatePlain(term, files)) !== (start % 2 === 1);
}

async function evaluatePlain(term: readonly string[], files: FileTests): Promise<boolean> {
  if (term.length > 2 && term[0] === '(' && term.at(-1) === ')') return evaluate(term.slice(1, -1), files);
  const [a = '', b = '', c = ''] = term;
  if (term.length === 1) return a !== '';
  if (term.length === 3) return COMPARISONS[b]?.(a, c) ?? false;
  if (term.length !== 2) return false;
  switch (a) {
    case '-n':
      return b !== '';
    case '-z':
      return b === '';
    case '-f':
      return files.isFile(b);
    case '-d':
      return files.isDirectory(b);
    case '-e':
      return (await files.isFile(b)) || files.isDirectory(b);
    case '-s':
      return files.isNotEmpty(b);
    default:
      return false;
  }
}
