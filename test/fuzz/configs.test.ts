/** Damaged configurations of every format: an answer or an XennerError, in bounded time, and never anything else. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import { toLibxl } from '../../src/mgmt/domain/config/json.js';
import { readConfig } from '../../src/mgmt/domain/config/read.js';
import { fuzzSettings, mutate, Random } from './random.js';

const CORPUS = fileURLToPath(new URL('../unit/mgmt/domain/corpus/', import.meta.url));
const { cases, seed } = fuzzSettings(150);
const inputs = readdirSync(CORPUS)
  .filter((name) => /\.(?:cfg|xml)$/.test(name))
  .map((name) => [name, readFileSync(CORPUS + name)] as const);
const json = Buffer.from(
  JSON.stringify([{ domid: 1, config: toLibxl(readConfig(inputs.at(-1)![1]).definition) }]),
);

/** Pieces of the grammars, where bytes alone would mostly break a string. */
const PIECES =
  "( ) [ ] { } ' \" ''' = += , : ; \\\n \n\t \n if for def while try except return not in % * 99999999999 0x 'x'*4000 <a> </a> &amp; <![CDATA[ ]]> <!-- <value> <struct>".split(
    ' ',
  );

function respell(random: Random, input: Buffer): Buffer {
  const at = random.below(input.length);
  const words = Array.from({ length: 1 + random.below(6) }, () => random.pick(PIECES)).join(
    random.pick(['', ' ']),
  );
  return Buffer.concat([input.subarray(0, at), Buffer.from(words), input.subarray(at + random.below(20))]);
}

it.each([...inputs, ['libxl.json', json] as const])('%s', (name, input) => {
  const random = new Random(seed);
  for (let i = 0; i < cases; i++) {
    const damaged = random.below(2) === 0 ? mutate(random, input, input.length) : respell(random, input);
    const why = `${name}, seed ${seed}, case ${i}: ${JSON.stringify(damaged.toString('latin1'))}`;
    try {
      const { definition } = readConfig(damaged, { overrides: ['vmid=3'] });
      expect(() => toLibxl(definition), why).not.toThrow();
      for (const { line } of definition.notes) if (line !== undefined) expect(line, why).toBeGreaterThan(0);
    } catch (error) {
      expect(error, why).toBeInstanceOf(XennerError);
    }
  }
});
