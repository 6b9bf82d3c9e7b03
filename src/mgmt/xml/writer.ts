/** XML as libvirt writes it (virbuffer.c): two blanks a level, attributes in single quotes, an element a line. */

type Attributes = Readonly<Record<string, string | number | undefined>>;

const ENTITIES: Readonly<Record<string, string>> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  '"': '&quot;',
  "'": '&apos;',
};

/** As virBufferEscapeString: what XML has no way to write is left out. */
export function escapeXml(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
      .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, '')
      .replace(/[<>&"']/g, (char) => ENTITIES[char]!)
  );
}

export class XmlWriter {
  #text = '';
  #indent = '';

  /** An element with others in it. An empty one has two tags, as most of libvirt's. */
  element(name: string, attributes: Attributes, inside: () => void): this {
    this.#line(`<${name}${attributesText(attributes)}>`);
    this.#indent += '  ';
    inside();
    this.#indent = this.#indent.slice(2);
    return this.#line(`</${name}>`);
  }

  /** An element with a text, or without anything in it. */
  leaf(name: string, attributes: Attributes, text?: string | number): this {
    const start = `<${name}${attributesText(attributes)}`;
    return this.#line(text === undefined ? `${start}/>` : `${start}>${escapeXml(String(text))}</${name}>`);
  }

  /** A leaf, if there is a text. */
  optional(name: string, text: string | number | undefined): this {
    return text === undefined ? this : this.leaf(name, {}, text);
  }

  /** An empty line, as capabilities have them. */
  blank(): this {
    this.#text += '\n';
    return this;
  }

  get text(): string {
    return this.#text;
  }

  #line(line: string): this {
    this.#text += `${this.#indent}${line}\n`;
    return this;
  }
}

function attributesText(attributes: Attributes): string {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}='${escapeXml(String(value))}'`)
    .join('');
}
