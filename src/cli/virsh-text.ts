/** Text as virsh prints it (vsh-table.c, vsh.c), which scripts read. */
import { printableText } from './printable.js';

/** Columns as wide as what is in them; the last one ends its line. */
export function virshTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printableText));
  const widths = header.map((title, column) =>
    cells.reduce((width, row) => Math.max(width, row[column]!.length), title.length),
  );
  const line = (row: readonly string[]) =>
    ` ${row.map((cell, column) => cell.padEnd(column === row.length - 1 ? 0 : widths[column]!)).join('   ')}\n`;
  const ruler = '-'.repeat(widths.reduce((sum, width) => sum + width + 3, 0));
  return `${line(header)}${ruler}\n${cells.map(line).join('')}\n`;
}

/** Names and values, an empty line behind them. */
export function virshFields(fields: readonly (readonly [name: string, value: string])[]): string {
  return `${fields.map(([name, value]) => `${`${name}:`.padEnd(15)} ${printableText(value)}\n`).join('')}\n`;
}

/** What has been done. */
export function virshSay(text: string): void {
  process.stdout.write(`${printableText(text)}\n\n`);
}

export function prettyBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(2)} ${units[unit]}`;
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? String(each) : each), 2)}\n`;
}
