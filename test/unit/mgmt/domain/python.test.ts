/** The part of Python that xm files are written in, beside what Python itself says of the same programs. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { MAX_CONFIG_LIST, MAX_CONFIG_TEXT } from '../../../../src/base/limits.js';
import { Evaluator } from '../../../../src/mgmt/domain/config/python/evaluator.js';
import { parsePython } from '../../../../src/mgmt/domain/config/python/parser.js';
import { Callable, Namespace, Tuple, Unknown } from '../../../../src/mgmt/domain/config/python/values.js';

function run(program: string): { names: Record<string, unknown>; troubles: string[] } {
  const evaluator = new Evaluator();
  evaluator.run(parsePython(program));
  const names = [...evaluator.globals].map(([name, { value }]) => [name, plain(value)] as const);
  return {
    names: Object.fromEntries(names.filter(([, value]) => value !== undefined)),
    troubles: evaluator.troubles.map(({ line, why }) => `${line}: ${why}`),
  };
}

function plain(value: unknown): unknown {
  if (value instanceof Unknown) return { unknown: value.why };
  if (value instanceof Callable || value instanceof Namespace) return undefined;
  if (value instanceof Tuple) return value.items.map(plain);
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, each]) => [String(key), plain(each)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

/** Every one is a program for Python 3, too. */
const PROGRAMS: readonly string[] = [
  'a = 1; b = a + 2 * 3\nc = -7 // 2; d = -7 % 3; e = 0x1F; f = 2 * (3 + 4)',
  'a = "x" \'y\' """z\n\'w\' """ r"\\n" u"é"',
  "a = 'tab\\tnew\\nhex\\x41oct\\101bad\\qquote\\'' ",
  'a = "a" + \\\n  "b"',
  'a = [1, "two", [3, (4, 5)],\n # comment\n 6,]\nb = a[0]; c = a[-1]; d = a[1:3]; e = "hello"[1:-1]; f = (1,)',
  'a = {"x": 1, "y": "z"}\nb = a["y"]; c = a.get("q", 7)\na["n"] = [1]\nd = "x" in a; e = len(a)',
  'a = "%s-%d-%02d-%x-%X-%5s|%-5s|%%" % ("s", 7, 3, 255, 255, "r", "l")\nb = "%(n)s=%(v)05d" % {"n": "k", "v": 42}\nc = "%r" % "q"',
  'a = "{} {1} {0:03d} {n}".format(5, 6, n="x") if False else "{0} {1:03d} {n}".format(5, 6, n="x")',
  'a = b = [1]\nb += [2]\nb.append(3)\nc = a + [4]\na, d = 5, 6\n(e, f) = (7, 8)',
  'x = 3\nif x > 5:\n  a = 1\nelif x == 3 and not x == 4:\n  a = 2\nelse:\n  a = 3\nb = "yes" if x in (1, 3) else "no"',
  'a = []\nfor i in range(1, 10, 3):\n    if i == 4: continue\n    a.append("d%d" % i)\nelse_ = 1\nfor k, v in [("a", 1), ("b", 2)]:\n    a += [k * v]',
  'i = 0\nwhile True:\n  i += 1\n  if i > 5:\n    break\n',
  'def f(a, b=2, c="x"):\n    """what it does"""\n    if a > 10:\n        return "big"\n    return "%d%d%s" % (a, b, c)\nr = [f(1), f(11), f(1, c="y"), f(2, 3)]',
  'def fact(n):\n  if n < 2: return 1\n  return n * fact(n - 1)\na = fact(10)',
  'a = ["x%d" % i for i in range(4) if i % 2]\nb = ",".join(str(i) for i in [1, 2])\nc = [x + y for x, y in [("a", "b")]]',
  'a = " pad ".strip(); b = "a,b,,c".split(","); c = "a b  c".split(); d = "k=v=w".split("=", 1); e = "AbC".lower(); f = "x".upper()',
  'a = "xvda1".replace("xvd", "sd"); b = "abc".startswith("ab"), "abc".endswith("x"), "abc".find("c"); c = "7".zfill(3); d = "12".isdigit()',
  'a = int("12") + int("ff", 16); b = str(5) + "x"; c = len("abc"), len([1, 2]); d = max(3, 9), min([4, 2]); e = sorted([3, 1, 2]); f = abs(-4)',
  'a = None; b = True; c = not b; d = None is None; e = 1 == True; f = "a" < "b"; g = [1, 2] == [1, 2]; h = "x" * 3; i = 2 * [0]',
  'try:\n  a = int("x")\nexcept ValueError:\n  a = 7\nfinally:\n  b = 1\ntry:\n  c = 1\nexcept:\n  c = 2',
  'import os.path\nfrom os.path import join, basename as base\na = os.path.join("/a", "b"); b = join("x", "/y"); c = base("/p/q.img"); d = os.path.dirname("/p/q.img")',
  'x = 1\nif True:\n\ty = 2\n\tif x:\n\t\tz = 3\n\tw = 4\nv = 5',
  'a = 1 if 0 else 2 if 0 else 3\nb = 0 or "x"; c = "" and 1; d = 1 and 2\n',
  'a = ("x"\n     "y")\nb = [i\n  for i in range(3)]\n',
];

describe('programs that Python agrees about', () => {
  it.each(PROGRAMS)('%s', (program) => {
    const dump = `\nimport json as j_, types as t_\nprint(j_.dumps({k_: v_ for k_, v_ in globals().items() if not k_.startswith("_") and not k_.endswith("_") and not isinstance(v_, (t_.ModuleType, t_.FunctionType))}))`;
    const python = execFileSync('python3', ['-W', 'ignore', '-'], {
      input: program + dump,
      encoding: 'utf8',
    });
    const expected = JSON.parse(python);
    const { names, troubles } = run(program);
    expect(troubles).toEqual([]);
    for (const name of Object.keys(names)) if (name.endsWith('_')) delete names[name];
    if (program.includes('else_')) delete names.else_;
    expect(names).toEqual(expected);
  });
});

describe('what is Python 2, as xm was', () => {
  it.each([
    ['a = 7 / 2', { a: 3 }],
    ['a = 0644; b = 10L; c = 0o17', { a: 0o644, b: 10, c: 15 }],
    ['print "hello"\na = 1', { a: 1 }],
    ['a = 1 <> 2', { a: true }],
    ['a = {"k": 1}.has_key("k")', { a: true }],
    ['a = xrange(3)', { a: [0, 1, 2] }],
    ['import os\na = os.uname()[4]', { a: 'x86_64' }],
    ['import re\na = "lib64" if re.search("64", "x86_64") else "lib"', { a: 'lib64' }],
    ['import string\na = string.join(["a", "b"], "-")', { a: 'a-b' }],
  ])('%s', (program, names) => {
    expect(run(program)).toEqual({ names, troubles: [] });
  });
});

describe('what cannot be evaluated is told, and the rest goes on', () => {
  const unknown = (why: string) => ({ unknown: why });

  it.each([
    ['a = nothing\nb = 1', { a: unknown('the name nothing is not known'), b: 1 }, []],
    [
      'a = nothing\nb = a',
      { a: unknown('the name nothing is not known'), b: unknown('the name nothing is not known') },
      [],
    ],
    [
      'import os\na = os.environ["HOME"]\nb = os.uname()[1]',
      { a: unknown('os.environ is not evaluated here'), b: unknown('it depends on the machine') },
      [],
    ],
    ['import os\nos.system("reboot")\na = 1', { a: 1 }, ['2: os.system is not evaluated here']],
    [
      'if nothing:\n  a = 1\nelse:\n  b = 2\nc = 3',
      { a: unknown('the name nothing is not known'), b: unknown('the name nothing is not known'), c: 3 },
      ['1: the name nothing is not known'],
    ],
    ['a = "no end\nb = 2', { a: unknown('this string has no end'), b: 2 }, []],
    ['a = [1, 2\nb = 3', { a: unknown('"]" is expected instead of "b"'), b: 3 }, []],
    ['a = (1,\n  2\nb = [3]\n', { a: unknown('")" is expected instead of "b"'), b: [3] }, []],
    ['class A:\n  a = 1\nb = 2', { b: 2 }, ['1: "class" is beyond what is evaluated here']],
    ['a = lambda: 1\nb = 2', { a: unknown('lambda is beyond what is evaluated here'), b: 2 }, []],
    ['a = 1 +\nb = 2', { a: unknown('a value is expected before the end of the line'), b: 2 }, []],
    ['a = 1.5\nb = 2', { a: expect.anything(), b: 2 }, []],
    ['a = 1 / 0', { a: unknown('a division by 0') }, []],
    ['a = "x" + 1', { a: unknown('a string + a number') }, []],
    ['a = "%d" % "x"', { a: unknown('a number is needed, not a string') }, []],
    ['a = "%s %s" % "x"', { a: unknown('too few values for "%s %s"') }, []],
    ['raise ValueError\na = 1', { a: 1 }, ['1: the program raises an exception in line 1']],
    ['def f(): return f()\na = f()\nb = 1', { a: unknown('functions call each other too deeply'), b: 1 }, []],
    [
      'a = __import__("os")\nb = eval("1")\nc = "".__class__',
      { a: expect.anything(), b: expect.anything(), c: expect.anything() },
      [],
    ],
    ['  a = 1\n    b = 2\n', { a: 1, b: 2 }, []],
  ])('%s', (program, names, troubles) => {
    expect(run(program)).toEqual({ names, troubles });
  });
});

describe('bounds', () => {
  it.each([
    ['while True: pass', 'goes on for too long'],
    ['a = "x"\nfor i in range(4000):\n  for j in range(4000):\n    k = i', 'goes on for too long'],
    ['b = []\nfor i in range(4000): b = [b, ["x" * 4000]]', 'goes on for too long'],
  ])('%s', (program, why) => {
    expect(run(program).troubles.join()).toContain(why);
  });

  it.each([
    ['a = "x" * 1000000000', 'a string of'],
    ['a = range(1000000000)', `more than ${MAX_CONFIG_LIST}`],
    ['a = 99999999999999999999', 'too big'],
    [`a = ${'['.repeat(100_000)}`, 'nested too deeply'],
    [`a = ${'-'.repeat(100_000)}1`, 'nested too deeply'],
    [`a = ${'not '.repeat(100_000)}1`, 'nested too deeply'],
    [`a = ${'1+'.repeat(50_000)}1`, 'nested too deeply'],
    [`a = x${'.x'.repeat(50_000)}`, 'nested too deeply'],
    [`a = x${'[0]'.repeat(50_000)}`, 'nested too deeply'],
    [`a = ${'(1)if(1)else'.repeat(50_000)} 2`, 'nested too deeply'],
    ['a = "%s" * 4000 % (("x" * 4000,) * 4000)', expect.any(String)],
  ])('%s', (program, why) => {
    const { a } = run(program).names as { a: { unknown: string } };
    expect(a.unknown).toEqual(typeof why === 'string' ? expect.stringContaining(why) : why);
  });

  it('a string has a bound however it is made', () => {
    const { names } = run('a = "x" * 4000\nfor i in range(30): a = a + a\nb = a');
    expect(names).toMatchObject({ b: { unknown: expect.stringContaining(String(MAX_CONFIG_TEXT)) } });
  });

  it('blocks inside blocks', () => {
    const deep = Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}if 1:`).join('\n');
    expect(run(`${deep}\n${' '.repeat(300)}a = 1\nb = 2`)).toMatchObject({ names: { b: 2 } });
    const faulty = Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}?\n${' '.repeat(i)}if 1:`).join(
      '\n',
    );
    expect(run(`${faulty}\nb = 2`)).toMatchObject({ names: { b: 2 } });
  });
});
