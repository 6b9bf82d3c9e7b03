/** A file of this project, as the rules of the house see it: its path from the project's root, and its text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A rule looks at one file and says what is wrong, one line each; nothing if all is well. */
export type Rule = (file: SourceFile) => string[];

const NOT_OURS = new Set(['node_modules', 'dist', 'build', '.git', 'package-lock.json', 'LICENSE']);

/** Every file of the project that people wrote. */
export function projectFiles(root: string, folder = ''): SourceFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder ? `${folder}/${entry.name}` : entry.name;
    if (NOT_OURS.has(entry.name)) return [];
    if (entry.isDirectory()) return projectFiles(root, path);
    return entry.isFile() ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

export const isScript = (path: string) => /\.(ts|mts|mjs)$/.test(path);
export const isNative = (path: string) => /\.(c|cc|h|S)$/.test(path);
export const isShell = (path: string) => path.endsWith('.sh') || path === 'images/init' || path === '.ci/run';
export const isCode = (path: string) => isScript(path) || isNative(path) || isShell(path);

export function parse(file: SourceFile): ts.SourceFile {
  return ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2022, true);
}

/** Calls visit for every node of a tree, parents first. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  node.forEachChild((child) => walk(child, visit));
}
