/** Sizes as qemu-img takes them (qemu_strtosz() in util/cutils.c): bytes, or a number with one of its letters, which may have a fraction. */
import { XennerError } from '../../../base/errors.js';

const LETTERS = ['b', 'k', 'm', 'g', 't', 'p', 'e'];

/** @throws XennerError EIMAGE_OPTIONS */
export function sizeFromText(text: string): number {
  const [, digits, fraction = '', letter = 'b'] = /^(\d+|0x[\da-f]+)(\.\d+)?([bkmgtpe])?$/i.exec(text) ?? [];
  const factor = 1024 ** LETTERS.indexOf(letter.toLowerCase());
  const bytes = Number(`${digits}${fraction}`) * factor;
  if (Number.isSafeInteger(Math.floor(bytes)) && !(fraction !== '' && factor === 1)) return Math.floor(bytes);
  throw new XennerError(
    'EIMAGE_OPTIONS',
    `${JSON.stringify(text)} is no size`,
    'give bytes, or a number with k, M, G, T, P or E behind it',
  );
}
