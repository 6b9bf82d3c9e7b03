/** Commands that are killed at work: whoever opens an image afterwards finds the old one or the new one, and a disk that is the same. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../fuzz/random.js';
import { MIB, patchwork } from '../disk-model.js';
import { missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn } from './img.js';

const MAIN = join(import.meta.dirname, '../../../../dist/cli/main.js');
const at = scratch();
const folder = dirname(at('x'));
const random = new Random(44);

/** Sends a signal when the command has told so often how far it is. Answers the status, or the signal that ended it. */
function killed(signal: NodeJS.Signals, after: number, ...args: string[]): Promise<number | string | null> {
  const child = spawn(process.execPath, [MAIN, 'img', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = 0;
  child.stdout.on('data', (text: Buffer) => {
    told += text.toString().split('\r').length - 1;
    if (told >= after) child.kill(signal);
  });
  return new Promise((resolve) => child.once('exit', (status, by) => resolve(by ?? status)));
}

const leftovers = () => readdirSync(folder).filter((name) => name.startsWith('.xenner-new-'));

function disk(name: string): Buffer {
  qemuImg('convert', '-f', 'qcow2', '-O', 'raw', at(name), at('seen.raw'));
  return readFileSync(at('seen.raw'));
}

describe.skipIf(missingQemu !== undefined)(`killed${missingQemu ? ` (skipped: ${missingQemu})` : ''}`, () => {
  it.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)('convert, by %s', async (signal) => {
    writeFileSync(at('source.raw'), patchwork(48 * MIB, 5));
    writeFileSync(at('out.qcow2'), 'old');
    const ended = await killed(
      signal,
      1 + random.below(20),
      'convert',
      '-p',
      '-c',
      '-O',
      'qcow2',
      'source.raw',
      'out.qcow2',
    );
    // A busy host may tell us of its progress when it has ended.
    const isOld = readFileSync(at('out.qcow2')).equals(Buffer.from('old'));
    if (isOld) expect(ended).not.toBe(0);
    else expect(qemuImg('compare', at('source.raw'), at('out.qcow2'))).toContain('identical');
    if (signal !== 'SIGKILL') expect(leftovers()).toEqual([]);
    expect(imgIn(folder, 'convert', '-O', 'qcow2', 'source.raw', 'out.qcow2')).toMatchObject({ status: 0 });
    expect(leftovers()).toEqual([]);
    expect(qemuImg('compare', at('source.raw'), at('out.qcow2'))).toContain('identical');
  });

  it.each(['SIGKILL', 'SIGINT'] as const)('commit and rebase, by %s', async (signal) => {
    writeFileSync(at('base.raw'), patchwork(48 * MIB, 6));
    writeFileSync(at('other.raw'), patchwork(48 * MIB, 7));
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', at('top.qcow2'));
    qemuIo(at('top.qcow2'), ['write -P 1 1M 3M', 'write -P 2 20M 9M', 'write -z 40M 2M'], '-f', 'qcow2');
    const seen = disk('top.qcow2');
    const commands = [
      ['rebase', '-p', '-b', 'other.raw', '-F', 'raw', 'top.qcow2'],
      ['commit', '-p', 'top.qcow2'],
    ];
    for (const command of commands) {
      await killed(signal, 1 + random.below(10), ...command);
      expect(disk('top.qcow2').equals(seen)).toBe(true);
      expect(imgIn(folder, ...command)).toMatchObject({ status: 0 });
      expect(disk('top.qcow2').equals(seen)).toBe(true);
      expect(qemuImg('check', '-f', 'qcow2', '-r', 'leaks', at('top.qcow2'))).not.toContain('ERROR');
    }
  });
});
