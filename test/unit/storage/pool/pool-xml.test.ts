/** Documents of pools: what is read, what is refused and why, and that what is written is read again as the same. */
import { describe, expect, it } from 'vitest';
import { XennerError } from '../../../../src/base/errors.js';
import { readPool, writePool } from '../../../../src/mgmt/storage/pool/pool-xml.js';

const UUID = '2f9a8a5e-3c1b-4d0e-9f7a-6b5c4d3e2f10';
const dir = (inside: string) => `<pool type='dir'>\n${inside}</pool>`;
const named = (inside: string) => dir(`<name>p</name>${inside}`);
const target = '<target><path>/x</path></target>';

describe('a pool document', () => {
  it('is written as libvirt writes it', () => {
    const pool = readPool(
      named(`<unknown/><uuid> ${UUID.replaceAll('-', '').toUpperCase()}</uuid><target><path>//a///b/</path><permissions>
        <mode>0750</mode><owner>-1</owner><group>107</group><label>l&amp;l</label></permissions></target>`),
    );
    expect(pool.uuid).toBe(UUID);
    expect(writePool(pool, { capacity: 3, allocation: 1, available: 2 })).toBe(`<pool type='dir'>
  <name>p</name>
  <uuid>${UUID}</uuid>
  <capacity unit='bytes'>3</capacity>
  <allocation unit='bytes'>1</allocation>
  <available unit='bytes'>2</available>
  <source>
  </source>
  <target>
    <path>/a/b</path>
    <permissions>
      <mode>0750</mode>
      <group>107</group>
      <label>l&amp;l</label>
    </permissions>
  </target>
</pool>
`);
  });

  it.each([
    ['no XML', 'x', 'VIR_ERR_XML_ERROR', /line 1/],
    ['another root', '<volume/>', 'VIR_ERR_XML_ERROR', /unexpected root element <volume>, expecting <pool>/],
    ['no type', '<pool/>', 'VIR_ERR_XML_ERROR', /missing type attribute/],
    ['a type of none', '<pool type="toString"/>', 'VIR_ERR_CONFIG_UNSUPPORTED', /unknown storage pool type/],
    ['no name', dir(target), 'VIR_ERR_XML_ERROR', /missing pool source name/],
    ['a name that leads away', dir(`<name>../p</name>${target}`), 'VIR_ERR_XML_ERROR', /no name for a pool/],
    [
      'a name with a line in it',
      dir(`<name>a&#10;b</name>${target}`),
      'VIR_ERR_XML_ERROR',
      /no name for a pool/,
    ],
    ['a bad UUID', named(`<uuid>1</uuid>${target}`), 'VIR_ERR_XML_ERROR', /malformed uuid element/],
    ['no target', named(''), 'VIR_ERR_XML_ERROR', /missing storage pool target path/],
    [
      'a relative target',
      named('<target><path>x</path></target>'),
      'VIR_ERR_XML_ERROR',
      /line 2: .*not absolute/,
    ],
    [
      'a mode of none',
      named('<target><path>/x</path><permissions><mode>8</mode></permissions></target>'),
      'VIR_ERR_XML_ERROR',
      /octal mode/,
    ],
    [
      'an owner of none',
      named('<target><path>/x</path><permissions><owner>root</owner></permissions></target>'),
      'VIR_ERR_XML_ERROR',
      /malformed owner/,
    ],
    ['an entity', `<!DOCTYPE pool [<!ENTITY a "b">]>${named(target)}`, 'VIR_ERR_XML_ERROR', /DTD/],
    ['too much of it', named(`<!--${'x'.repeat(2 ** 23)}-->${target}`), 'VIR_ERR_XML_ERROR', /too large/],
    ['too deep a nest', '<pool>'.repeat(100), 'VIR_ERR_XML_ERROR', /too deeply/],
  ])('is refused for %s', (_, text, code, message) => {
    expect(() => readPool(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it('that is damaged anywhere is refused, or means what it says', () => {
    const rounds = Number(process.env.XENNER_FUZZ_XML ?? 3000);
    const good = writePool(readPool(named(target)));
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const pieces = [
      '<',
      '>',
      '&',
      "'",
      '</pool>',
      '<name>',
      '\0',
      '&#0;',
      ']]>',
      '<![CDATA[',
      '\ud800',
      '/',
      '9'.repeat(30),
    ];
    let accepted = 0;
    for (let round = 0; round < rounds; round++) {
      let text = good;
      for (let change = random(3); change >= 0; change--) {
        const [from, length] = [random(text.length), random(12)];
        text =
          text.slice(0, from) + (random(2) ? pieces[random(pieces.length)] : '') + text.slice(from + length);
      }
      try {
        const pool = readPool(text);
        expect(readPool(writePool(pool))).toEqual(pool);
        accepted++;
      } catch (error) {
        if (!(error instanceof XennerError)) throw error;
      }
    }
    expect(accepted).toBeGreaterThan(rounds / 100);
  });
});
