/** Rules that need only a file's name and its text. */
import { isCode, isNative, isScript, isShell, type Rule, type SourceFile } from './source-file.js';

const FILE_LINES = 400;
const FUNCTION_LINES = 70;

export const fileLength: Rule = ({ path, text }) => {
  const lines = text.split('\n').length - 1;
  return isCode(path) && lines > FILE_LINES ? [`${path}: ${lines} lines, more than ${FILE_LINES}`] : [];
};

/**
 * C, C++ and shell as clang-format and our shell style lay them out: a function starts in the first column on a line
 * that ends with a brace, and ends with a brace in the first column.
 */
export const nativeFunctionLength: Rule = ({ path, text }) => {
  const start = isShell(path)
    ? /^[\w-]+\(\) \{$/
    : /^(?!namespace|struct|class|union|enum|extern|typedef)\w.*\)[^;]*\{$/;
  if (!isNative(path) && !isShell(path)) return [];
  const complaints: string[] = [];
  let open = -1;
  text.split('\n').forEach((line, index) => {
    if (open < 0 && start.test(line)) open = index;
    else if (open >= 0 && line === '}') {
      const lines = index - open + 1;
      if (lines > FUNCTION_LINES) complaints.push(`${path}:${open + 1}: a function of ${lines} lines`);
      open = -1;
    }
  });
  return complaints;
};

/** Files in kebab-case; native files in the snake_case that C and C++ are used to; tools' own names as they want them. */
export const fileNames: Rule = ({ path }) => {
  const name = path.replace(/.*\//, '');
  if (/^(README|HACKING|ARCHITECTURE)\.md$|^(Makefile|CMakeLists\.txt|LICENSE)$|^\./.test(name)) return [];
  const native = path.startsWith('native/') || isNative(path);
  const fits = native
    ? /^[a-z0-9]+([-_][a-z0-9]+)*(\.[a-z0-9-]+|\.S)*$/
    : /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*$/;
  return fits.test(name) ? [] : [`${path}: the name is not in ${native ? 'snake_case' : 'kebab-case'}`];
};

function forbidden(pattern: RegExp, why: string, applies: (path: string) => boolean): Rule {
  return ({ path, text }) => {
    if (!applies(path)) return [];
    return text
      .split('\n')
      .flatMap((line, index) =>
        isOurs(path, line) && pattern.test(line) ? [`${path}:${index + 1}: ${why}`] : [],
      );
  };
}

/** Of a patch's lines, what it takes away and what stands around it is the patched project's. */
const isOurs = (path: string, line: string) => !path.endsWith('.patch') || !/^[ -]/.test(line);

/** buffer-layout's 64-bit fields lose bits above 2^53. */
export const exactIntegers = forbidden(/\bn[us]64(be)?\b/, 'an inexact 64-bit layout field', isScript);

export const unfinished = forbidden(
  /\b(TO[D]O|FIX[M]E|XX[X])\b/,
  'unfinished',
  (path) => path !== 'package-lock.json',
);

/** Paths of a machine that happened to hold a checkout, and of its user. */
export const machinePaths = forbidden(
  /(?<![\w.$}/~-])\/(work|home\/\w+|Users\/\w+|root\/(?!\S*\$)[\w.])\b/,
  "a path of somebody's machine",
  () => true,
);

const CODE_IN_C = [
  /^\s*\/\/\s*(if|for|while|switch)\s*\(.*\)\s*\{?$/,
  /^\s*\/\/\s*(return\b.*|[\w.>[\]-]+\s*[|&+-]?=\s*[^=].*|[\w.>-]+\(.*\));$/,
];

/** A comment line that is a statement. */
export const nativeDeadCode: Rule = ({ path, text }) => {
  if (!isNative(path)) return [];
  return text.split('\n').flatMap((line, index) => {
    return CODE_IN_C.some((pattern) => pattern.test(line)) ? [`${path}:${index + 1}: code in a comment`] : [];
  });
};

/** NN-name.ts, with NN and name as in Xen's xen.h: `numbers` maps a hypercall's name to its number. */
export function hypercallFiles(numbers: ReadonlyMap<string, number>): Rule {
  return ({ path }: SourceFile) => {
    const match = /^src\/xenner\/hypercall\/(\d+)-([^/]*)\.ts$/.exec(path);
    if (!match) return [];
    const [, number = '', name = ''] = match;
    const real = numbers.get(name.replaceAll('-', '_'));
    if (number.length === 2 && Number(number) === real) return [];
    return [`${path}: ${real === undefined ? 'Xen knows no such hypercall' : `Xen's number is ${real}`}`];
  };
}

export const textRules = {
  fileLength,
  nativeFunctionLength,
  fileNames,
  exactIntegers,
  unfinished,
  machinePaths,
  nativeDeadCode,
};
