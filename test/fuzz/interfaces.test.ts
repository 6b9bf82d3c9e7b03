/** Configurations of the host's interfaces and their documents, damaged: read as something, or refused; and lines of others stay. */
import { expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import {
  assemble,
  define,
  flatten,
  undefine,
  withChanges,
} from '../../src/mgmt/network/config/config-system.js';
import { ifupdown } from '../../src/mgmt/network/config/ifupdown.js';
import { networkd } from '../../src/mgmt/network/config/networkd.js';
import { isInterfaceName } from '../../src/mgmt/network/definition.js';
import { readInterface } from '../../src/mgmt/network/interface-xml.js';
import { writeInterface } from '../../src/mgmt/network/interface-xml-writer.js';
import { DOCUMENTS, FOREIGN } from '../unit/mgmt/network/documents.js';
import { Random } from './random.js';

const RUNS = Number(process.env.XENNER_FUZZ_INTERFACES ?? 500);
const PIECES = [
  '\n',
  '\\\n',
  ' ',
  '=',
  '[',
  ']',
  '#',
  '/',
  "'",
  '\0',
  '\xff',
  '-',
  '9'.repeat(20),
  'iface ',
  'auto eth0\n',
];

/** A few pieces put in, taken out, or doubled. */
function damage(random: Random, text: string): string {
  let damaged = text;
  for (let times = 1 + random.below(4); times > 0; times--) {
    const [at, length] = [random.below(damaged.length + 1), random.below(24)];
    const middle = random.pick(['', random.pick(PIECES), damaged.slice(at, at + 2 * length)]);
    damaged = damaged.slice(0, at) + middle + damaged.slice(at + random.pick([0, length]));
  }
  return damaged;
}

it.each([networkd, ifupdown])('$name: damaged files', (system) => {
  const random = new Random(0x1face);
  const documents = DOCUMENTS.filter(({ not }) => not !== system.name).map(({ xml }) => readInterface(xml));
  let found = 0;
  for (let run = 0; run < RUNS; run++) {
    const definition = random.pick(documents);
    const foreign = new Map(Object.entries(FOREIGN[system.name]!));
    const whole = withChanges(foreign, define(system, foreign, random.pick(documents)));
    const files = new Map([...whole].map(([path, text]) => [path, damage(random, text)]));
    const all = assemble(system.read(files));
    for (const { name } of all.flatMap((top) => flatten(top))) expect(isInterfaceName(name)).toBe(true);
    // A part of another is not defined by itself (HostInterfaces.define()).
    const others = all.filter(({ name }) => name !== definition.name).flatMap((top) => flatten(top));
    const own = new Set(flatten(definition).map(({ name }) => name));
    if (others.some(({ name }) => own.has(name))) continue;
    found++;
    const defined = withChanges(files, define(system, files, definition));
    const read = assemble(system.read(defined)).find(({ name }) => name === definition.name);
    expect(read, `run ${run}`).toBeDefined();
    const without = withChanges(defined, undefine(system, defined, definition.name));
    expect(assemble(system.read(without)).map(({ name }) => name)).not.toContain(definition.name);
  }
  expect(found).toBeGreaterThan(RUNS / 3);
});

it('a file of the largest size takes no longer than it has lines', () => {
  const lines = Array.from({ length: 60_000 }, (_, at) => `iface e${at} inet manual`);
  const text = `iface br0 inet manual\n  bridge_ports ${'x '.repeat(20_000)}\n${lines.join('\n')}\n`;
  expect(ifupdown.read(new Map([['/etc/network/interfaces', text]]))).toHaveLength(60_002);
});

it('damaged documents, and hostile names', () => {
  const random = new Random(0xd0c);
  let accepted = 0;
  for (let run = 0; run < RUNS; run++) {
    const xml = damage(random, random.pick(DOCUMENTS).xml);
    try {
      const definition = readInterface(xml);
      expect(readInterface(writeInterface(definition))).toEqual(definition);
      accepted++;
    } catch (error) {
      expect(error, xml).toBeInstanceOf(XennerError);
      expect(error).toMatchObject({ code: 'VIR_ERR_XML_ERROR' });
    }
  }
  expect(accepted).toBeGreaterThan(RUNS / 20);
  expect(accepted).toBeLessThan(RUNS);
  const names = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a b',
    'a;reboot',
    '$(x)',
    '-x',
    'a'.repeat(16),
    'ä',
    'a\nb',
    '%s',
  ];
  for (const name of names) {
    const attribute = name.replace(/[<&']/g, '');
    expect(() => readInterface(`<interface type='ethernet' name='${attribute}'/>`), name).toThrow(
      XennerError,
    );
    expect(() =>
      readInterface(
        `<interface type='vlan' name='v'><vlan tag='1'><interface name='${attribute}'/></vlan></interface>`,
      ),
    ).toThrow(XennerError);
  }
});
