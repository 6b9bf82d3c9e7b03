/** XML as a tree whose elements know their lines. No entities but XML's own five, no DTD, a bound on depth and size. */
import { SaxesParser, type SaxesTagPlain } from 'saxes';
import { XennerError } from '../../base/errors.js';
import { MAX_CONFIG_NESTING, MAX_XML_ELEMENTS } from '../../base/limits.js';

export class XmlElement {
  readonly children: XmlElement[] = [];
  /** The text between its tags, that of its children left out. */
  text = '';

  constructor(
    readonly name: string,
    readonly line: number,
    readonly attributes: Readonly<Record<string, string>>,
  ) {}

  /** The first child of this name; and of that the next. */
  find(...path: readonly string[]): XmlElement | undefined {
    let found: XmlElement | undefined = this;
    for (const name of path) found = found?.children.find((child) => child.name === name);
    return found;
  }

  all(name: string): readonly XmlElement[] {
    return this.children.filter((child) => child.name === name);
  }

  /** The attribute, unless it is empty. */
  get(attribute: string): string | undefined {
    const own = Object.hasOwn(this.attributes, attribute) ? this.attributes[attribute] : undefined;
    return own === '' ? undefined : own;
  }

  /** The text without the blanks around it; undefined where there is none. */
  get content(): string | undefined {
    return this.text.trim() || undefined;
  }
}

/** @throws XennerError `code` */
export function parseXml(source: string, code = 'ECONFIG_XML'): XmlElement {
  const refuse = (line: number, what: string) => new XennerError(code, `line ${line}: ${what}`);
  const parser = new SaxesParser({ xmlns: false, position: true, defaultXMLVersion: '1.0' });
  const open: XmlElement[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  let line = 1;
  parser.on('error', ({ message }) => {
    throw refuse(parser.line, message.replace(/^\d+:\d+: /, ''));
  });
  parser.on('doctype', () => {
    throw refuse(parser.line, 'a document type (DTD) is refused');
  });
  parser.on('xmldecl', ({ encoding }) => {
    if (encoding === undefined || /^(?:utf-?8|us-ascii)$/i.test(encoding)) return;
    throw refuse(1, `the encoding ${encoding}: only UTF-8 is read`);
  });
  parser.on('opentagstart', () => {
    line = parser.line;
    if (open.length === MAX_CONFIG_NESTING) throw refuse(line, 'elements are nested too deeply');
    if (++elements > MAX_XML_ELEMENTS) throw refuse(line, 'there are too many elements');
  });
  parser.on('opentag', (tag: SaxesTagPlain) => {
    const element = new XmlElement(tag.name, line, tag.attributes as Record<string, string>);
    root ??= element;
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  const text = (more: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += more;
  };
  parser.on('text', text);
  parser.on('cdata', text);
  parser.on('closetag', () => open.pop());
  parser.write(source).close();
  if (root === undefined) throw refuse(1, 'there is no element');
  return root;
}
