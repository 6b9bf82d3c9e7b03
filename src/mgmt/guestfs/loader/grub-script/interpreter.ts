/** Runs GRUB 2's scripts, as far as they decide what is booted. What commands do is told by whoever runs one. */
import {
  MAX_BOOT_SCRIPT_DEPTH,
  MAX_BOOT_SCRIPT_STEPS,
  MAX_BOOT_SCRIPT_VARIABLES,
  MAX_BOOT_SCRIPT_WORD_CHARS,
} from '../../../../base/limits.js';
import { overLimit } from '../../errors.js';
import type { Word } from './lexer.js';
import type { Script, Statement } from './parser.js';

/** True: it succeeded, which is what `if` asks for. */
export type RunCommand = (scope: Scope, words: readonly string[], block?: Script) => Promise<boolean>;

/** Steps that are left to a configuration as a whole, however many scopes it has. */
export interface Budget {
  steps: number;
}

export const newBudget = (): Budget => ({ steps: MAX_BOOT_SCRIPT_STEPS });

/** Variables and functions, and a script running among them. */
export class Scope {
  private depth = 0;
  private succeeded = true;
  private parameters: readonly string[] = [];

  constructor(
    private readonly budget: Budget,
    private readonly variables: Map<string, string> = new Map(),
    private readonly functions: Map<string, Script> = new Map(),
  ) {}

  /** What a menu entry's commands run in: nothing they set is seen by others. `$0`, `$1`: its title and what follows. */
  fork(parameters: readonly string[]): Scope {
    this.step(1 + this.variables.size / 16);
    const scope = new Scope(this.budget, new Map(this.variables), new Map(this.functions));
    scope.parameters = parameters;
    return scope;
  }

  get(name: string): string {
    if (name === '?') return this.succeeded ? '0' : '1';
    if (name === '#') return String(this.parameters.length);
    if (name === '@' || name === '*') return this.parameters.join(' ');
    if (/^\d+$/.test(name)) return this.parameters[Number(name) - 1] ?? '';
    return this.variables.get(name) ?? '';
  }

  set(name: string, value: string): void {
    if (value.length > MAX_BOOT_SCRIPT_WORD_CHARS || this.variables.size >= MAX_BOOT_SCRIPT_VARIABLES)
      throw overLimit('a boot loader script in the guest has too many or too long variables');
    this.variables.set(name, value);
  }

  unset(name: string): void {
    this.variables.delete(name);
  }

  /** Returns whether the last command succeeded. */
  async run(script: Script, command: RunCommand): Promise<boolean> {
    if (++this.depth > MAX_BOOT_SCRIPT_DEPTH)
      throw overLimit('a boot loader script in the guest calls itself too deeply');
    let succeeded = true;
    for (const statement of script) {
      succeeded = await this.runStatement(statement, command);
      this.succeeded = succeeded;
    }
    this.depth--;
    return succeeded;
  }

  private async runStatement(statement: Statement, command: RunCommand): Promise<boolean> {
    this.step(1);
    switch (statement.kind) {
      case 'command':
        return this.runCommand(this.words(statement.words), statement.block, command);
      case 'function':
        this.functions.set(statement.name, statement.body);
        return true;
      case 'if': {
        for (const { condition, body } of statement.branches)
          if (await this.run(condition, command)) return this.run(body, command);
        return this.run(statement.otherwise, command);
      }
      case 'for': {
        let succeeded = true;
        for (const word of this.words(statement.words)) {
          this.step(1);
          this.set(statement.name, word);
          succeeded = await this.run(statement.body, command);
        }
        return succeeded;
      }
      case 'while': {
        let succeeded = true;
        while ((await this.run(statement.condition, command)) !== statement.until) {
          this.step(1);
          succeeded = await this.run(statement.body, command);
        }
        return succeeded;
      }
    }
  }

  private async runCommand(
    words: readonly string[],
    block: Script | undefined,
    command: RunCommand,
  ): Promise<boolean> {
    const [name, ...args] = words;
    if (name === undefined) return true;
    if (name === '!') return !(await this.runCommand(args, block, command));
    const assignment = /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(name);
    if (assignment) {
      this.set(assignment[1]!, name.slice(assignment[0].length));
      return true;
    }
    const body = this.functions.get(name);
    if (body === undefined) return command(this, words, block);
    const outer = this.parameters;
    this.parameters = args;
    const succeeded = await this.run(body, command);
    this.parameters = outer;
    return succeeded;
  }

  private words(words: readonly Word[]): string[] {
    return words.flatMap((word) => this.expand(word));
  }

  /** One word, several where a variable that is not quoted has blanks in it, or none where nothing is left. */
  private expand(word: Word): string[] {
    const found: string[] = [];
    let current: string | undefined;
    let length = 0;
    for (const part of word) {
      const text = 'text' in part ? part.text : this.get(part.variable);
      length += text.length;
      this.step(text.length / 1024);
      if (length > MAX_BOOT_SCRIPT_WORD_CHARS)
        throw overLimit('a boot loader script in the guest has too long a word');
      if ('text' in part || part.isQuoted) {
        current = (current ?? '') + text;
        continue;
      }
      const fields = text.split(/[ \t\n]+/);
      for (const [index, field] of fields.entries()) {
        if (index > 0 && current !== undefined) found.push(current);
        if (index > 0) current = undefined;
        if (field !== '') current = (current ?? '') + field;
      }
    }
    return current === undefined ? found : [...found, current];
  }

  private step(cost: number): void {
    this.budget.steps -= cost;
    if (this.budget.steps < 0) throw overLimit('a boot loader script in the guest does not come to its end');
  }
}
