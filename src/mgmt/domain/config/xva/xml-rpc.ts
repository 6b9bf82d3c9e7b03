/** Values as XML-RPC writes them, which is how XenServer dumps its records into ova.xml. */
import { XennerError } from '../../../../base/errors.js';
import type { XmlElement } from '../../../xml/tree.js';

/** A string for every scalar: what is a number depends on the field. */
export type RpcValue = string | readonly RpcValue[] | RpcStruct;

export class RpcStruct {
  constructor(
    readonly line: number,
    private readonly members: ReadonlyMap<string, { readonly value: RpcValue; readonly line: number }>,
  ) {}

  /** The line of a member, or of the structure itself. */
  lineOf(name: string): number {
    return this.members.get(name)?.line ?? this.line;
  }

  get names(): readonly string[] {
    return [...this.members.keys()];
  }

  text(name: string): string {
    const value = this.members.get(name)?.value;
    return typeof value === 'string' ? value : '';
  }

  struct(name: string): RpcStruct | undefined {
    const value = this.members.get(name)?.value;
    return value instanceof RpcStruct ? value : undefined;
  }

  list(name: string): readonly RpcValue[] {
    const value = this.members.get(name)?.value;
    return Array.isArray(value) ? value : [];
  }
}

/** @throws XennerError ECONFIG_XML */
export function rpcValue(element: XmlElement): RpcValue {
  if (element.name !== 'value') throw refuse(element, '<value>');
  const [typed] = element.children;
  if (typed === undefined) return element.text;
  switch (typed.name) {
    case 'struct':
      return structure(typed);
    case 'array': {
      const data = typed.find('data');
      if (data === undefined) throw refuse(typed, '<data> in it');
      return data.children.map(rpcValue);
    }
    case 'boolean':
      return typed.text === '1' ? 'true' : 'false';
    case 'nil':
      return '';
    default:
      return typed.text;
  }
}

function structure(element: XmlElement): RpcStruct {
  const members = element.all('member').map((member) => {
    const [name, value] = [member.find('name'), member.find('value')];
    if (name === undefined || value === undefined) throw refuse(member, '<name> and <value> in it');
    return [name.text, { value: rpcValue(value), line: member.line }] as const;
  });
  return new RpcStruct(element.line, new Map(members));
}

function refuse({ name, line }: XmlElement, wanted: string): XennerError {
  return new XennerError('ECONFIG_XML', `line ${line}: ${wanted} is expected at <${name}>`);
}
