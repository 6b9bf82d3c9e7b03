/** Files of sections and `Key=value` lines, as systemd's (systemd.syntax(7)): changed line by line, all else stays as it stands. */

interface Section {
  /** As it stands; empty for what comes before the first one. */
  readonly header: string;
  readonly name: string;
  lines: string[];
}

const isComment = (line: string) => /^\s*([#;]|$)/.test(line);

export class Ini {
  readonly #sections: Section[];

  constructor(text: string) {
    let section: Section = { header: '', name: '', lines: [] };
    this.#sections = [section];
    for (const line of text === '' ? [] : text.replace(/\n$/, '').split('\n')) {
      const name = /^\s*\[([^\]]*)\]\s*$/.exec(line)?.[1];
      if (name === undefined) section.lines.push(line);
      else {
        section = { header: line, name, lines: [] };
        this.#sections.push(section);
      }
    }
  }

  /** The last value. */
  get(section: string, key: string): string | undefined {
    return this.all(section, key).at(-1);
  }

  /** All values of lists, which an empty one empties. */
  all(section: string, key: string): string[] {
    const values: string[] = [];
    for (const { name, lines } of this.#sections) {
      if (name !== section) continue;
      for (const line of lines) {
        const value = keyOf(line) === key ? line.slice(line.indexOf('=') + 1).trim() : undefined;
        if (value === '') values.length = 0;
        else if (value !== undefined) values.push(value);
      }
    }
    return values;
  }

  /** In the place of all lines of the key. Without values the key is gone. */
  set(section: string, key: string, ...values: readonly (string | number | undefined)[]): void {
    const lines = values.filter((value) => value !== undefined).map((value) => `${key}=${value}`);
    let rest: readonly string[] = lines;
    for (const each of this.#sections.filter(({ name }) => name === section)) {
      const at = each.lines.findIndex((line) => keyOf(line) === key);
      if (at < 0) continue;
      each.lines = [
        ...each.lines.slice(0, at),
        ...rest,
        ...each.lines.slice(at).filter((line) => keyOf(line) !== key),
      ];
      rest = [];
    }
    if (rest.length > 0) this.#append(section, rest);
  }

  get text(): string {
    const sections = this.#sections.filter(({ header, lines }) => header !== '' || lines.length > 0);
    return sections
      .map(({ header, lines }) =>
        [...(header === '' ? [] : [header]), ...lines].map((line) => `${line}\n`).join(''),
      )
      .join('');
  }

  #append(section: string, lines: readonly string[]): void {
    const found = this.#sections.findLast(({ name }) => name === section);
    if (found !== undefined) {
      let end = found.lines.length;
      while (end > 0 && found.lines[end - 1]!.trim() === '') end--;
      found.lines.splice(end, 0, ...lines);
      return;
    }
    const last = this.#sections.at(-1)!;
    if (last.header !== '' && last.lines.at(-1)?.trim() !== '') last.lines.push('');
    this.#sections.push({ header: `[${section}]`, name: section, lines: [...lines] });
  }
}

function keyOf(line: string): string | undefined {
  return isComment(line) ? undefined : /^\s*([^=\s]+)\s*=/.exec(line)?.[1];
}
