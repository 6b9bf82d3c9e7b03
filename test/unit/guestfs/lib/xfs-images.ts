/** XFS as mkfs.xfs makes it, with files in it by its prototype file. */
import { lstatSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blank, run } from './images.js';

/** mkfs.xfs(8), "prototype file". Names have no blanks. */
function prototype(tree: string): string {
  const lines: string[] = ['-', '0 0', 'd--755 0 0'];
  const walk = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const stat = lstatSync(path);
      const mode = (stat.mode & 0o777).toString(8).padStart(3, '0');
      if (stat.isSymbolicLink()) {
        lines.push(`${name} l--777 0 0 ${readlinkSync(path)}`);
      } else if (stat.isDirectory()) {
        lines.push(`${name} d--${mode} 0 0`);
        walk(path);
      } else {
        lines.push(`${name} ---${mode} 0 0 ${path}`);
      }
    }
    lines.push('$');
  };
  walk(tree);
  return `${lines.join('\n')}\n`;
}

export function mkfsXfs(path: string, options: readonly string[], tree?: string): string {
  blank(path, 512 * 2 ** 20);
  if (tree === undefined) {
    run('mkfs.xfs', ['-q', '-f', ...options, path]);
  } else {
    writeFileSync(`${path}.proto`, prototype(tree));
    run('mkfs.xfs', ['-q', '-f', '-p', `${path}.proto`, ...options, path]);
  }
  return path;
}
