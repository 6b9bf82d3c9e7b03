/** What comes from files and guests must not drive a terminal. */
import type { Note } from '../mgmt/domain/definition.js';

/** Strings of an image, whose encoding nobody knows. */
export function printable(text: string): string {
  return text.replace(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Texts of configurations, which are in Unicode. */
export function printableText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

/** What is to be said of a configuration. */
export function noteText(path: string, { kind, line, option, text }: Note): string {
  const place = line === undefined ? path : `${path}:${line}`;
  return printableText(`${place}: ${kind}: ${option === '' ? '' : `${option}: `}${text}`);
}
