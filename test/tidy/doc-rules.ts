/** Rules for what the documents say about the project. */
import type { Rule } from './source-file.js';

const ROOTS = /^(src|native|test|scripts|images|bench|\.ci)\//;
const isDoc = (path: string) => /^[^/]+\.md$/.test(path);

/** "a/*.cc" as a regular expression over paths. */
function glob(pattern: string): RegExp {
  const quoted = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(`^${quoted}(/|$)`);
}

/** Words in `code` that look like files of ours: from a top folder, or a document or configuration at the top. */
export function documentedFiles(paths: readonly string[]): Rule {
  return ({ path, text }) => {
    if (!isDoc(path)) return [];
    const spans = [...text.matchAll(/`([^`\n]+)`/g)].flatMap(([, span = '']) => span.split(/\s+/));
    const names = spans.filter((word) => ROOTS.test(word) || /^[A-Z]+\.md$/.test(word));
    const missing = names.filter((name) => !paths.some((known) => glob(name.replace(/\/$/, '')).test(known)));
    return [...new Set(missing)].map((name) => `${path}: names ${name}, which does not exist`);
  };
}

export function documentedCommands(scripts: ReadonlySet<string>): Rule {
  return ({ path, text }) => {
    if (!isDoc(path)) return [];
    const used = [...text.matchAll(/\bnpm (?:run )?([a-z][\w:-]*)/g)].map(([, name = '']) => name);
    const own = new Set(['run', 'ci', 'install', 'start', 'exec', 'publish']);
    return [...new Set(used)]
      .filter((name) => !scripts.has(name) && !own.has(name))
      .map((name) => `${path}: npm run ${name} does not exist`);
  };
}
