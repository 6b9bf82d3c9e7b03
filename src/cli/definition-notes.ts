/** What a command says of a configuration before it does anything with it. */
import { bootable, type DomainDefinition } from '../mgmt/domain/definition.js';
import { EXIT } from './exit-codes.js';
import { noteText } from './printable.js';

/**
 * On standard error.
 * @returns false: nothing can be done with it, and the exit status says so
 */
export function tellNotes(path: string, definition: DomainDefinition, quiet = false): boolean {
  for (const note of definition.notes)
    if (!quiet || note.kind === 'error') process.stderr.write(`xenner: ${noteText(path, note)}\n`);
  if (!bootable(definition)) process.exitCode = EXIT.failure;
  return bootable(definition);
}
