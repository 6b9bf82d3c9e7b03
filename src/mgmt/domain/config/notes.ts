/** What there is to say about a file, gathered while it is read. */
import { MAX_CONFIG_NOTES } from '../../../base/limits.js';
import type { Note, NoteKind } from '../definition.js';

export class Notes {
  private notes: Note[] = [];
  private untold = 0;

  /** Once for a line: many disks of one option may have the same to tell. */
  add(kind: NoteKind, line: number | undefined, option: string, text: string): void {
    const known = this.notes.some(
      (note) => note.line === line && note.option === option && note.text === text,
    );
    if (known) return;
    // An error decides whether the guest can be booted: it is never left out.
    if (this.notes.length >= MAX_CONFIG_NOTES && (kind !== 'error' || this.hasError())) this.untold++;
    else this.notes.push({ kind, line, option, text });
  }

  /** What was said of an option whose value is not taken. */
  forget(option: string): void {
    this.notes = this.notes.filter((note) => note.option !== option);
  }

  error(line: number | undefined, option: string, text: string): void {
    this.add('error', line, option, text);
  }

  /** Of one option, or of any. */
  hasError(option?: string): boolean {
    return this.notes.some((note) => note.kind === 'error' && (option ?? note.option) === note.option);
  }

  /** By line; what is in no line comes last. */
  list(): Note[] {
    const notes = this.notes.toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity) || 0);
    if (this.untold > 0) {
      notes.push({
        kind: 'ignored',
        line: undefined,
        option: '',
        text: `${this.untold} more notes are left out`,
      });
    }
    return notes;
  }
}
