/** Rules that need TypeScript's own parser. */
import { posix } from 'node:path';
import ts from 'typescript';
import { isScript, parse, type Rule, type SourceFile, walk } from './source-file.js';

const FUNCTION_LINES = 70;

/** A describe() block is a list of tests, not a function that somebody has to follow. */
function isDescribe(node: ts.Node): boolean {
  return ts.isCallExpression(node.parent) && /^describe\b/.test(node.parent.expression.getText());
}

export const functionLength: Rule = (file) => {
  if (!isScript(file.path)) return [];
  const source = parse(file);
  const line = (at: number) => source.getLineAndCharacterOfPosition(at).line + 1;
  const complaints: string[] = [];
  walk(source, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || !node.body || isDescribe(node)) return;
    const [first, last] = [line(node.getStart()), line(node.end)];
    const lines = last - first + 1;
    if (lines > FUNCTION_LINES) complaints.push(`${file.path}:${first}: a function of ${lines} lines`);
  });
  return complaints;
};

/** What a file imports, by whatever syntax: import, export from, import(), import types. */
export function importsOf(file: SourceFile): string[] {
  const found: string[] = [];
  walk(parse(file), (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier))
        found.push(node.moduleSpecifier.text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteralLike(argument)) found.push(argument.text);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) found.push(node.argument.literal.text);
    }
  });
  return found;
}

/** Lower rooms first: a room may import itself and those before it. src/index.ts, the library's face, is on top of all. */
const ROOMS = ['base', 'kvm', 'xenner', 'mgmt', 'index.ts', 'cli'];
const room = (path: string) => ROOMS.indexOf(path.split('/')[1]?.replace('index.js', 'index.ts') ?? '');
const inside = (path: string, folder: string) => path.startsWith(`src/xenner/${folder}/`);

function wrongImport(from: string, to: string): string | undefined {
  if (room(to) < 0) return 'is in no room';
  if (room(to) > room(from)) return 'is above it';
  if (inside(from, 'abi') && !inside(to, 'abi') && !to.startsWith('src/base/'))
    return 'is not for abi, which is pure';
  if (inside(from, 'hypercall') && inside(to, 'backend')) return 'is a back end';
  if (inside(from, 'backend') && inside(to, 'hypercall')) return 'is a hypercall';
  return undefined;
}

export const importDirections: Rule = (file) => {
  if (!/^src\/.*\.ts$/.test(file.path)) return [];
  return importsOf(file).flatMap((name) => {
    if (!name.startsWith('.')) return [];
    const to = posix.join(posix.dirname(file.path), name);
    const why = wrongImport(file.path, to);
    return why ? [`${file.path}: imports ${to}, which ${why}`] : [];
  });
};

/** Native code enters the process in one room only. */
export const addonLoading: Rule = ({ path, text }) => {
  if (!path.startsWith('src/') || path.startsWith('src/kvm/')) return [];
  return /xenner\.node\b|\bdlopen\b/.test(text) ? [`${path}: only src/kvm loads the addon`] : [];
};

/** A lone word is prose; what parses as a statement with some punctuation of code in it is code. */
function looksLikeCode(comment: string): boolean {
  const text = comment.replace(/^\/\/\s*/, '').trim();
  const shape =
    /^(const|let|var|import|export|return|await|throw|if|for|while|function|class|\}|[\w.]+\(|[\w.[\]]+ [|&+-]?= )/;
  if (
    !shape.test(text) ||
    !/[;{})]$/.test(text) ||
    /^(if|for|while|return|import|export|throw) [^({'"]*$/.test(text)
  )
    return false;
  const wrapped = ts.createSourceFile(
    'comment.ts',
    `async function f() { ${text.replace(/\{$/, '{}')} }`,
    ts.ScriptTarget.ES2022,
  );
  const { parseDiagnostics } = wrapped as unknown as { parseDiagnostics: readonly unknown[] };
  return /^\}/.test(text) || parseDiagnostics.length === 0;
}

export const deadCode: Rule = (file) => {
  if (!isScript(file.path)) return [];
  const scanner = ts.createScanner(ts.ScriptTarget.ES2022, false, ts.LanguageVariant.Standard, file.text);
  const complaints: string[] = [];
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    if (token !== ts.SyntaxKind.SingleLineCommentTrivia || !looksLikeCode(scanner.getTokenText())) continue;
    const line = file.text.slice(0, scanner.getTokenStart()).split('\n').length;
    complaints.push(`${file.path}:${line}: code in a comment`);
  }
  return complaints;
};

export const codeRules = { functionLength, importDirections, addonLoading, deadCode };
