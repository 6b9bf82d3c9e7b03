/**
 * The rules of the house, checked on every file; and each rule checked on a bad sample that it must refuse and a good
 * one that it must let pass.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { codeRules } from './tidy/code-rules.js';
import { documentedCommands, documentedFiles } from './tidy/doc-rules.js';
import { isShell, projectFiles, type Rule } from './tidy/source-file.js';
import { hypercallFiles, textRules } from './tidy/text-rules.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const files = projectFiles(ROOT);
const packageJson = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
  scripts: Record<string, string>;
};
const xenHeader = readFileSync(`${ROOT}src/xenner/abi/xen.ts`, 'utf8');
const numbers = new Map(
  [...xenHeader.matchAll(/__HYPERVISOR_(\w+) = (\d+);/g)].map(([, name = '', number]) => [
    name,
    Number(number),
  ]),
);

const bashSyntax: Rule = ({ path, text }) => {
  if (!isShell(path)) return [];
  try {
    execFileSync('bash', ['-n'], { input: text, stdio: 'pipe', timeout: 10_000 });
    return [];
  } catch (error) {
    return [`${path}: ${error instanceof Error ? error.message : error}`];
  }
};

const rules: Record<string, Rule> = {
  ...textRules,
  ...codeRules,
  bashSyntax,
  hypercallFiles: hypercallFiles(numbers),
  documentedFiles: documentedFiles(files.map((file) => file.path)),
  documentedCommands: documentedCommands(new Set(Object.keys(packageJson.scripts))),
};

const repeat = (line: string, times: number) => `${line}\n`.repeat(times);

/** For every rule: [path, text] that it must refuse, and that it must accept. */
const samples: Record<string, { bad: [string, string][]; good: [string, string][] }> = {
  fileLength: {
    bad: [['src/a.ts', repeat('x', 401)]],
    good: [['src/a.ts', repeat('x', 400)]],
  },
  functionLength: {
    bad: [
      ['src/a.ts', `function f() {\n${repeat('g();', 69)}}`],
      ['src/a.ts', `const f = () => {\n${repeat('g();', 69)}};`],
      ['src/a.ts', `class A {\n  get b() {\n${repeat('g();', 69)}}\n}`],
    ],
    good: [
      ['src/a.ts', `function f() {\n${repeat('g();', 68)}}`],
      ['test/a.test.ts', `describe('a', () => {\n${repeat('it();', 100)}});`],
    ],
  },
  nativeFunctionLength: {
    bad: [
      ['native/a.cc', `int f(int a) {\n${repeat('  g();', 69)}}\n`],
      ['native/a.cc', `int A::f() const {\n${repeat('  g();', 69)}}\n`],
      ['scripts/a.sh', `f() {\n${repeat('  g', 69)}}\n`],
    ],
    good: [
      ['native/a.cc', `int f(int a) {\n${repeat('  g();', 68)}}\n`],
      ['native/a.cc', `namespace a {\n${repeat('int x;', 100)}}\n`],
    ],
  },
  fileNames: {
    bad: [
      ['src/guestMemory.ts', ''],
      ['src/guest_memory.ts', ''],
      ['scripts/Demo.sh', ''],
      ['native/GuestMemory.cc', ''],
    ],
    good: [
      ['src/guest-memory.ts', ''],
      ['native/guest_memory.cc', ''],
      ['test/a-b.test.ts', ''],
      ['test/guest/Makefile', ''],
      ['README.md', ''],
    ],
  },
  exactIntegers: {
    bad: [['src/a.ts', `import { ${'nu'}64 } from 'buffer-layout';`]],
    good: [['src/a.ts', 'const menu640 = 1;']],
  },
  unfinished: {
    bad: [
      ['src/a.ts', `// ${'TO'}DO: later`],
      ['native/a.c', `/* ${'FIX'}ME */`],
      ['native/a.patch', `+/* ${'FIX'}ME */`],
    ],
    good: [
      ['src/a.ts', 'const todos = 1;'],
      ['native/a.patch', `-/* ${'TO'}DO: theirs */`],
    ],
  },
  machinePaths: {
    bad: [
      ['src/a.ts', `const dir = '${'/wo'}rk/main';`],
      ['README.md', `see ${'/ho'}me/someone/xenner`],
      ['scripts/a.sh', `ls ${'/ro'}ot/.cache`],
    ],
    good: [
      ['README.md', 'images/work/x and https://example.org/work/x'],
      ['images/init', 'cd /root || exit 1'],
    ],
  },
  nativeDeadCode: {
    bad: [
      ['native/a.cc', '  // count = 0;\n'],
      ['native/a.cc', '  // if (count > 0) {\n'],
      ['native/a.c', '  // run(vcpu, 1);\n'],
    ],
    good: [['native/a.cc', '// The count starts at zero; see run(vcpu).\n']],
  },
  deadCode: {
    bad: [
      ['src/a.ts', '// const a = 1;\nlet b;'],
      ['src/a.ts', 'f(); // g(1, 2);'],
      ['src/a.ts', '// if (a) {\n'],
      ['src/a.ts', '// this.count = 0;\n'],
    ],
    good: [
      ['src/a.ts', '// if the guest asks twice, the second answer counts (see below)\n'],
      ['src/a.ts', '// return codes are negative errnos;\n'],
      ['src/a.ts', "const a = '// const b = 1;';"],
    ],
  },
  importDirections: {
    bad: [
      ['src/base/a.ts', "import { b } from '../kvm/b.js';"],
      ['src/kvm/a.ts', "export * from '../xenner/b.js';"],
      ['src/xenner/a.ts', "import type { B } from '../mgmt/b.js';"],
      ['src/xenner/a.ts', "const b = await import('../cli/b.js');"],
      ['src/xenner/a.ts', "let b: import('../index.js').B;"],
      ['src/xenner/abi/a.ts', "import '../mm/b.js';"],
      ['src/xenner/abi/a.ts', "import '../../kvm/b.js';"],
      ['src/xenner/hypercall/01-a.ts', "import '../backend/b.js';"],
      ['src/xenner/backend/a.ts', "import '../hypercall/table.js';"],
      ['src/xenner/a.ts', "import '../../test/b.js';"],
    ],
    good: [
      ['src/cli/a.ts', "import '../mgmt/b.js'; import '../xenner/b.js'; import '../index.js';"],
      ['src/index.ts', "export * from './xenner/b.js';"],
      ['src/xenner/abi/a.ts', "import '../../base/b.js'; import './c.js'; import 'node:fs';"],
      ['src/xenner/hypercall/01-a.ts', "import '../mm/b.js';"],
    ],
  },
  addonLoading: {
    bad: [
      ['src/xenner/a.ts', "require('../../build/Release/xenner.node');"],
      ['src/cli/a.ts', "process.dlopen(module, 'x');"],
    ],
    good: [['src/kvm/addon.ts', "require('../../build/Release/xenner.node');"]],
  },
  bashSyntax: {
    bad: [['scripts/a.sh', 'if true; then\n']],
    good: [['scripts/a.sh', 'if true; then echo; fi\n']],
  },
  hypercallFiles: {
    bad: [
      ['src/xenner/hypercall/02-mmu-update.ts', ''],
      ['src/xenner/hypercall/1-mmu-update.ts', ''],
      ['src/xenner/hypercall/01-no-such-call.ts', ''],
    ],
    good: [
      ['src/xenner/hypercall/01-mmu-update.ts', ''],
      ['src/xenner/hypercall/table.ts', ''],
    ],
  },
  documentedFiles: {
    bad: [
      ['README.md', 'run `scripts/no-such.sh` first'],
      ['HACKING.md', 'see `src/no-such/*.ts`'],
      ['HACKING.md', 'see `GUIDE.md`'],
    ],
    good: [
      ['README.md', 'run `scripts/setup.sh --x`, see `src/base`, `test/*.test.ts`, `table.ts`, `a -> b`'],
    ],
  },
  documentedCommands: {
    bad: [['README.md', 'then `npm run no-such`']],
    good: [['README.md', 'then `npm run demo` and `npm test`, or `npm ci`']],
  },
};

describe.each(Object.entries(rules))('%s', (name, rule) => {
  const { bad, good } = samples[name] ?? { bad: [], good: [] };

  it('can fail', () => {
    expect(bad.length).toBeGreaterThan(0);
    for (const [path, text] of bad)
      expect(rule({ path, text }), `${path}: ${text.slice(0, 80)}`).not.toEqual([]);
    for (const [path, text] of good) expect(rule({ path, text })).toEqual([]);
  });

  it('holds everywhere', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(files.flatMap(rule)).toEqual([]);
  });
});
