/** `'...%s...' % values`, and str.format() in its plain forms. */
import { boundedText, Fault, integer, quoted, Tuple, toText, type Value } from './values.js';

const DIRECTIVE = /%(?:\((\w+)\))?([-+ 0#]*)(\d{0,3})(?:\.(\d{1,3}))?([a-zA-Z%])/g;

export function percent(format: string, values: Value): string {
  const list = values instanceof Tuple ? values.items : [values];
  const wanted = [...format.matchAll(DIRECTIVE)].filter((match) => match[5] !== '%').length;
  if (!(values instanceof Map) && wanted < list.length)
    throw new Fault(`too many values for ${JSON.stringify(format)}`);
  let used = 0;
  return replaceAll(format, DIRECTIVE, (_, key, flags, width, precision, conversion) => {
    if (conversion === '%') return '%';
    const value = key === undefined ? list[used++] : member(values, key);
    if (value === undefined) throw new Fault(`too few values for ${JSON.stringify(format)}`);
    return pad(convert(value, conversion, precision), flags, Number(width), conversion);
  });
}

/** In strings of a bounded length, whatever the replacements are. */
function replaceAll(format: string, pattern: RegExp, replace: (...match: string[]) => string): string {
  let result = '';
  let end = 0;
  for (const match of format.matchAll(pattern)) {
    result = boundedText(result + format.slice(end, match.index) + replace(...match));
    end = match.index + match[0].length;
  }
  return boundedText(result + format.slice(end));
}

function member(values: Value, key: string): Value | undefined {
  if (values instanceof Map) return values.get(key);
  throw new Fault(`%(${key})s needs a dictionary`);
}

function convert(value: Value, conversion: string, precision: string | undefined): string {
  const digits = (text: string) => text.replace(/\d.*/, (all) => all.padStart(Number(precision ?? 0), '0'));
  switch (conversion) {
    case 's':
      return precision === undefined ? toText(value) : toText(value).slice(0, Number(precision));
    case 'r':
      return quoted(value);
    case 'd':
    case 'i':
    case 'u':
      return digits(String(integer(value)));
    case 'x':
      return integer(value)
        .toString(16)
        .padStart(Number(precision ?? 0), '0');
    case 'X':
      return integer(value)
        .toString(16)
        .toUpperCase()
        .padStart(Number(precision ?? 0), '0');
    case 'o':
      return digits(integer(value).toString(8));
    case 'c':
      return typeof value === 'number' ? String.fromCharCode(value & 0xffff) : toText(value).slice(0, 1);
    default:
      throw new Fault(`%${conversion} is beyond what is evaluated here`);
  }
}

function pad(text: string, flags: string, width: number, conversion: string): string {
  const signed = flags.includes('+') && /[diu]/.test(conversion) && !text.startsWith('-') ? `+${text}` : text;
  if (flags.includes('-')) return signed.padEnd(width);
  if (!flags.includes('0') || /[src]/.test(conversion)) return signed.padStart(width);
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/s.exec(signed)!;
  return sign + rest.padStart(width - sign.length, '0');
}

const FIELD = /\{\{|\}\}|\{(\w*)(?::(0?)(\d{1,3})([dxX]?))?\}|[{}]/g;

/** Fields by place or name, with a width. */
export function braces(format: string, args: readonly Value[], named: ReadonlyMap<string, Value>): string {
  let next = 0;
  return replaceAll(
    format,
    FIELD,
    (all, name?: string, zero?: string, width?: string, conversion?: string) => {
      if (all === '{{' || all === '}}') return all[0]!;
      if (name === undefined) throw new Fault(`${JSON.stringify(format)} is beyond what is evaluated here`);
      const value = /^\d+$/.test(name) ? args[Number(name)] : name === '' ? args[next++] : named.get(name);
      if (value === undefined) throw new Fault(`too few values for ${JSON.stringify(format)}`);
      if (width === undefined) return toText(value);
      const number = typeof value === 'number';
      return pad(
        convert(value, conversion || 's', undefined),
        number ? zero! : `${zero}-`,
        Number(width),
        number ? 'd' : 's',
      );
    },
  );
}
