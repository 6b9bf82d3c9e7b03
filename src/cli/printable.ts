/** Strings of an image must not drive a terminal. */
export function printable(text: string): string {
  return text.replace(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
