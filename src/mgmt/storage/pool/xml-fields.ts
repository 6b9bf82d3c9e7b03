/** What pool and volume documents have in common: names, sizes, permissions. */
import type { XmlElement } from '../../xml/tree.js';
import type { XmlWriter } from '../../xml/writer.js';
import type { Permissions } from './definition.js';
import { PoolError, quoted } from './errors.js';

export function xmlError(element: XmlElement, what: string): PoolError {
  return new PoolError('VIR_ERR_XML_ERROR', `line ${element.line}: ${what}`);
}

/** As XPath's string(): text as it stands, undefined where there is none. */
export function textOf(element: XmlElement, ...path: readonly string[]): string | undefined {
  return element.find(...path)?.text || undefined;
}

/** A path of the host: absolute, without what stands in it twice (virFileSanitizePath). */
export function pathOf(element: XmlElement, path: string): string {
  if (path.includes('\n')) throw xmlError(element, `path ${quoted(path)} contains a line's end`);
  if (!path.startsWith('/')) throw xmlError(element, `path ${quoted(path)} is not absolute`);
  return path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '');
}

/** Factors of units (virScaleInteger): one letter and `iB` count by 1024, `B` behind a letter by 1000. */
export function unitBytes(unit: string): number | undefined {
  const [, letter, binary, decimal] = /^(?:([kmgtpe])(?:(ib)|(b))?|b(?:ytes?)?)$/i.exec(unit) ?? [];
  if (letter === undefined) return /^b(?:ytes?)?$/i.test(unit) ? 1 : undefined;
  const base = decimal !== undefined && binary === undefined ? 1000 : 1024;
  return base ** ('kmgtpe'.indexOf(letter.toLowerCase()) + 1);
}

/** @param unit where none is said: bytes */
export function bytesOf(element: XmlElement): number {
  const unit = element.get('unit') ?? 'bytes';
  const factor = unitBytes(unit);
  if (!/^\d{1,19}$/.test(element.text)) throw xmlError(element, `malformed ${element.name} element`);
  if (factor === undefined)
    throw new PoolError('VIR_ERR_INVALID_ARG', `line ${element.line}: unknown suffix ${quoted(unit)}`);
  const bytes = Number(element.text) * factor;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new PoolError('VIR_ERR_OVERFLOW', `line ${element.line}: ${element.name} is larger than any disk`);
}

/** @param within may have <permissions> */
export function readPermissions(within: XmlElement | undefined): Permissions {
  const element = within?.find('permissions');
  if (element === undefined) return {};
  const mode = textOf(element, 'mode');
  if (mode !== undefined && !/^0*[0-7]{1,3}$/.test(mode)) throw xmlError(element, 'malformed octal mode');
  return {
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
    owner: readId(element, 'owner'),
    group: readId(element, 'group'),
    label: textOf(element, 'label'),
  };
}

function readId(permissions: XmlElement, name: 'owner' | 'group'): number | undefined {
  const id = permissions.find(name)?.text.trim();
  if (id === undefined || id === '-1') return undefined;
  if (!/^\d{1,10}$/.test(id) || Number(id) > 0xfffffffe)
    throw xmlError(permissions, `malformed ${name} element`);
  return Number(id);
}

export function writePermissions(xml: XmlWriter, { mode, owner, group, label }: Permissions): void {
  if ([mode, owner, group, label].every((each) => each === undefined)) return;
  xml.element('permissions', {}, () => {
    xml
      .optional('mode', mode === undefined ? undefined : `0${mode.toString(8)}`)
      .optional('owner', owner)
      .optional('group', group)
      .optional('label', label);
  });
}
