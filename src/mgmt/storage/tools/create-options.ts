/** New images, by the options that `qemu-img create -o` and `convert -o` take. */
import { open } from 'node:fs/promises';
import { XennerError } from '../../../base/errors.js';
import { createQcow2 } from '../qcow2/create.js';
import { zeroRange } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { createVhd } from '../vhd/create.js';
import type { ToolFormat } from './image-file.js';
import { sizeFromText } from './size-text.js';

/** By name, as they were written; later ones take the place of earlier ones. */
export type CreateChoices = ReadonlyMap<string, string>;

export interface NewImage {
  readonly format: ToolFormat;
  readonly sizeBytes: number;
  readonly choices?: CreateChoices | undefined;
  /** By a path relative to the image. In place of the options of the same meaning. */
  readonly backing?: { readonly path: string; readonly format: string } | undefined;
}

const wrong = (what: string, hint?: string) => new XennerError('EIMAGE_OPTIONS', what, hint);

/** `name=value,name=value`; a comma of a value is written twice, and a name alone is switched on. */
export function parseCreateChoices(texts: readonly string[]): CreateChoices {
  const choices = new Map<string, string>();
  for (const text of texts) {
    for (const part of text.match(/(?:[^,]|,,)+/g) ?? []) {
      const [, name, value = 'on'] = /^([^=]+)(?:=(.*))?$/s.exec(part.replaceAll(',,', ',')) ?? [];
      if (name === undefined) throw wrong(`Invalid parameter ${JSON.stringify(part)}`);
      choices.set(name, value);
    }
  }
  return choices;
}

/** Takes what is known out of the choices, and refuses the rest. */
class ChoiceReader {
  readonly #rest: Map<string, string>;

  constructor(choices: CreateChoices = new Map()) {
    this.#rest = new Map(choices);
  }

  text(name: string): string | undefined {
    const value = this.#rest.get(name);
    this.#rest.delete(name);
    return value;
  }

  one<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.text(name);
    const found = values.find((each) => each === value);
    if (value === undefined || found !== undefined) return found;
    throw wrong(`Invalid parameter '${value}' for ${name}`, `use one of ${values.join(', ')}`);
  }

  flag(name: string): boolean | undefined {
    const value = this.one(name, ['on', 'off', 'yes', 'no', 'true', 'false', 'y', 'n']);
    return value === undefined ? undefined : ['on', 'yes', 'true', 'y'].includes(value);
  }

  size(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : sizeFromText(value);
  }

  end(format: string): void {
    const [name] = this.#rest.keys();
    if (name !== undefined)
      throw wrong(`images of the format ${format} have no option ${JSON.stringify(name)}`);
  }
}

/** The file must not exist. @throws XennerError EIMAGE_OPTIONS; system errors */
export async function createImage(path: string, image: NewImage): Promise<void> {
  switch (image.format) {
    case 'raw':
      return createRaw(path, image);
    case 'vpc':
      return createVpc(path, image);
    case 'qcow2':
      return createQcow(path, image);
  }
}

async function createRaw(path: string, { choices, sizeBytes, backing }: NewImage): Promise<void> {
  const reader = new ChoiceReader(choices);
  const preallocation = reader.one('preallocation', ['off', 'falloc', 'full']);
  reader.end('raw');
  if (backing !== undefined) throw wrong('a raw image has no backing file');
  await (await open(path, 'wx')).close();
  const file = await StorageFile.open(path);
  try {
    await file.truncate(sizeBytes);
    if (preallocation === 'falloc' || preallocation === 'full') await zeroRange(file, 0, sizeBytes, false);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function createVpc(path: string, { choices, sizeBytes, backing }: NewImage): Promise<void> {
  const reader = new ChoiceReader(choices);
  const type = reader.one('subformat', ['dynamic', 'fixed']);
  // The size is always the one that was asked for.
  reader.flag('force_size');
  reader.end('vpc');
  await createVhd(path, { sizeBytes, type, parent: backing?.path });
}

async function createQcow(path: string, image: NewImage): Promise<void> {
  const reader = new ChoiceReader(image.choices);
  const compat = reader.one('compat', ['0.10', 'v2', '1.1', 'v3']);
  const file = reader.text('backing_file');
  const format = reader.text('backing_fmt');
  const backing = image.backing ?? (file === undefined ? undefined : { path: file, format });
  if (backing !== undefined && backing.format === undefined)
    throw wrong('backing file specified without backing format', 'add its format');
  const options = {
    sizeBytes: image.sizeBytes,
    version: compat === '0.10' || compat === 'v2' ? (2 as const) : (3 as const),
    clusterBytes: reader.size('cluster_size'),
    refcountBits: reader.size('refcount_bits'),
    lazyRefcounts: reader.flag('lazy_refcounts'),
    extendedL2: reader.flag('extended_l2'),
    compression: reader.one('compression_type', ['zlib', 'zstd']),
    preallocation: reader.one('preallocation', ['off', 'metadata', 'falloc', 'full']),
    backing: backing as NewImage['backing'],
  };
  reader.end('qcow2');
  await createQcow2(path, options);
}
