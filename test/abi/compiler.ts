/** Compiles and runs a program of cProgram(): what a C compiler says of sizes, offsets and constants. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemblyProgram, type Facts, parseAssembly, parseOutput } from './facts.js';

export function askCompiler(program: string): Facts {
  const dir = mkdtempSync(join(tmpdir(), 'xenner-abi-'));
  try {
    writeFileSync(join(dir, 'abi.c'), program);
    execFileSync('gcc', ['-std=gnu11', '-w', '-o', join(dir, 'abi'), join(dir, 'abi.c')], {
      timeout: 60_000,
    });
    return parseOutput(execFileSync(join(dir, 'abi'), { encoding: 'utf8', timeout: 10_000 }));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** What an i386 compiler says; it only compiles. */
export function askCompilerFor32(facts: Facts): Facts {
  const options = ['-m32', '-std=gnu11', '-ffreestanding', '-w', '-S', '-x', 'c', '-o', '-', '-'];
  return parseAssembly(
    execFileSync('gcc', options, { input: assemblyProgram(facts), encoding: 'utf8', timeout: 60_000 }),
  );
}
