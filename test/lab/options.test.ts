/** The command line of scripts/lab.sh, without a lab. */
import { describe, expect, it } from 'vitest';
import { parseOptions } from './options.mjs';

const parse = (...words: string[]) => parseOptions(words, '/base');

describe('options', () => {
  it('end at the command, whose own options are its own', () => {
    expect(parse('--cpus', '1', 'ls', '--timeout', '5')).toMatchObject({
      timeoutMs: 0,
      shape: { cpus: 1 },
      argv: ['ls', '--timeout', '5'],
    });
    expect(parse('--', '--check', '--')).toMatchObject({ mode: 'run', argv: ['--check', '--'] });
  });

  it('have units and defaults', () => {
    expect(
      parse(...'--timeout 5 --memory 2048 --hugepages 64 --nodes 2 --out x true'.split(' ')),
    ).toMatchObject({
      timeoutMs: 5000,
      shape: { cpus: 2, memoryMiB: 2048, hugepages: 64, nodes: 2, out: '/base/x' },
    });
    expect(parse('--serve', 'x')).toMatchObject({ mode: 'serve', directory: '/base/x', argv: [] });
  });

  it.each([
    [['--cpus', '0', 'true'], "'0' is no number from 1 to 16"],
    [['--cpus', '2x', 'true'], "'2x' is no number"],
    [['--timeout'], '--timeout needs a value'],
    [['--unknown', 'x'], "unknown option '--unknown'"],
    [['--serve', 'x', 'true'], '--serve takes no command'],
    [['--serve', 'x', '--in', 'y'], 'exclude each other'],
    [['--in', 'nowhere', 'true'], '/base/nowhere: no lab is served there'],
    [['--serve', 'x'.repeat(100)], 'too long for sockets'],
    [['--memory', '1024', '--nodes', '3', 'true'], '1024 cannot be shared by 3 nodes'],
    [['--memory', '1024', '--hugepages', '400', 'true'], 'has no room for 400 pages'],
  ])('%j are refused', (words, message) => {
    expect(() => parse(...words)).toThrow(message);
  });
});
