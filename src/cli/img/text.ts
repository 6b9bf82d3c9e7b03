/** Text as qemu-img prints it, which scripts read. */

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/** Three digits and a unit, the next one from 1000 on (QEMU: size_to_str() in util/cutils.c). */
export function sizeText(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${Number(value.toPrecision(3))} ${UNITS[unit]}B`;
}

/** As QEMU's JSON writer has it: four spaces, and even an empty list on two lines. */
export function imgJson(value: unknown): string {
  return `${JSON.stringify(value, null, 4).replace(/^( *)(.*)\[\](,?)$/gm, '$1$2[\n$1]$3')}\n`;
}

const local = (date: Date) => {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
};

/** Of a snapshot's date. */
export const dateText = (seconds: number): string => local(new Date(seconds * 1000));

/** Hours, minutes, seconds and milliseconds that a machine had run. */
export function clockText(seconds: number, nanoseconds: number): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two);
  return `${parts.join(':')}.${String(Math.floor(nanoseconds / 1e6)).padStart(3, '0')}`;
}
