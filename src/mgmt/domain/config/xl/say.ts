import type { NoteKind } from '../../definition.js';

/** Tells something about the option that is being read. */
export type Say = (kind: NoteKind, text: string) => void;
