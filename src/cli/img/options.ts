/** Options that several commands of qemu-img have. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';

export type OutputFormat = 'human' | 'json';

export interface ImageChoice {
  format?: string;
  forceShare?: true;
}

export function addImageChoice(command: Command): Command {
  return command
    .option('-f, --format <format>', 'raw, qcow2 or vpc; by default what it looks like')
    .option('-U, --force-share', 'even if somebody is writing it');
}

export function outputOption(): Option {
  return new Option('--output <format>', 'text, or what programs read')
    .choices(['human', 'json'])
    .default('human');
}

export interface SecretChoice {
  object?: string[];
}

export function addSecretChoice(command: Command): Command {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return command.option('--object <secret>', 'secret,id=ID,file=FILE or data=PASSWORD', collect);
}

/** @param id of one secret; by default the only one */
export function passwordOf({ object = [] }: SecretChoice, id?: string): Uint8Array | undefined {
  const secrets = object.map(secretOf);
  const found = id === undefined ? secrets[0] : secrets.find((each) => each.id === id);
  if (id !== undefined && found === undefined)
    throw new InvalidArgumentError(`there is no secret ${JSON.stringify(id)}; give --object.`);
  return found?.password;
}

function secretOf(text: string): { readonly id: string; readonly password: Uint8Array } {
  const [type, ...rest] = text.split(/(?<!,),(?!,)/).map((each) => each.replaceAll(',,', ','));
  const fields = new Map(rest.map((each) => [each.replace(/=.*$/s, ''), each.replace(/^[^=]*=/s, '')]));
  const [id, file, data] = ['id', 'file', 'data'].map((name) => fields.get(name));
  if (type !== 'secret' || id === undefined || (file === undefined) === (data === undefined))
    throw new InvalidArgumentError('an object is secret,id=ID and file=FILE or data=PASSWORD.');
  return { id, password: data !== undefined ? Buffer.from(data, 'utf8') : readFileSync(file!) };
}
