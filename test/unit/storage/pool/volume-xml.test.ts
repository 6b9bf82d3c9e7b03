/** Documents of volumes that are to be made, and what first bytes of images, good and bad, are taken for. */
import { describe, expect, it } from 'vitest';
import { imageFacts } from '../../../../src/mgmt/storage/pool/image-facts.js';
import { readVolume, writeVolume } from '../../../../src/mgmt/storage/pool/volume-xml.js';
import { parseXml } from '../../../../src/mgmt/xml/tree.js';

const named = (inside: string) => `<volume><name>v</name>\n${inside}</volume>`;
const sized = (inside: string) => named(`<capacity>1</capacity>${inside}`);

describe('a volume document', () => {
  it.each([
    ['1', undefined, 1],
    ['3', 'bytes', 3],
    ['3', 'B', 3],
    ['2', 'KB', 2000],
    ['2', 'KiB', 2048],
    ['2', 'k', 2048],
    ['5', 'M', 5 * 2 ** 20],
    ['5', 'GB', 5e9],
    ['7', 'TiB', 7 * 2 ** 40],
    ['1', 'p', 2 ** 50],
  ])('has sizes like %s %s', (amount, unit, bytes) => {
    const attribute = unit === undefined ? '' : ` unit='${unit}'`;
    expect(readVolume(named(`<capacity${attribute}>${amount}</capacity>`))).toMatchObject({
      name: 'v',
      capacity: bytes,
      allocation: bytes,
      format: 'raw',
    });
  });

  it.each([
    ['no name', '<volume><capacity>1</capacity></volume>', 'VIR_ERR_XML_ERROR', /missing volume name/],
    ['no size', named(''), 'VIR_ERR_XML_ERROR', /missing capacity/],
    [
      'a size below nothing',
      named('<capacity>-1</capacity>'),
      'VIR_ERR_XML_ERROR',
      /line 2: malformed capacity/,
    ],
    ['half of a byte', named('<capacity>1.5</capacity>'), 'VIR_ERR_XML_ERROR', /malformed capacity/],
    [
      'a unit of none',
      named('<capacity unit="XB">1</capacity>'),
      'VIR_ERR_INVALID_ARG',
      /unknown suffix "XB"/,
    ],
    [
      'more than there is',
      named('<capacity unit="E">9</capacity>'),
      'VIR_ERR_OVERFLOW',
      /larger than any disk/,
    ],
    [
      'an unknown version',
      sized('<target><compat>2</compat></target>'),
      'VIR_ERR_XML_ERROR',
      /neither 0.10 nor 1.1/,
    ],
    [
      'an unknown feature',
      sized('<target><features><magic/></features></target>'),
      'VIR_ERR_CONFIG_UNSUPPORTED',
      /unsupported feature "magic"/,
    ],
    [
      'a relative backing store',
      sized('<backingStore><path>../x</path></backingStore>'),
      'VIR_ERR_XML_ERROR',
      /not absolute/,
    ],
  ])('is refused for %s', (_, text, code, message) => {
    expect(() => readVolume(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

describe('the first bytes of an image', () => {
  it('that are damaged anywhere are taken for something, of which a document can be made', () => {
    const rounds = Number(process.env.XENNER_FUZZ_IMAGES ?? 20_000);
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const magics = [
      'QFI\xfb\0\0\0\x01',
      'QFI\xfb\0\0\0\x02',
      'QFI\xfb\0\0\0\x03',
      'QED\0',
      'KDMV',
      'conectix',
    ];
    const seen = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      const head = Buffer.alloc([0, 3, 8, 72, 511, 512, 600, 4096][random(8)]!);
      for (let change = random(40); change > 0; change--)
        head[random(Math.min(head.length, 160))] = random(256);
      // Small numbers are where names and extensions may be.
      if (head.length >= 112)
        for (const at of [8, 16, 20, 100]) head.writeUInt32BE(random(2) ? random(700) : 0, at);
      head.write(magics[random(magics.length)]!, 'latin1');
      const { format, capacity = 0, backing, ...facts } = imageFacts(head);
      seen.add(format);
      const path = '/p/v';
      const xml = writeVolume({
        ...{ type: 'file', name: 'v', key: path, capacity, allocation: 0, physical: head.length },
        target: { path, format, permissions: {}, ...facts },
        backing: backing && { path: backing.name, format: backing.format ?? 'raw' },
      });
      expect(capacity).toBeGreaterThanOrEqual(0);
      if (round % 20 === 0) expect(parseXml(xml).find('target', 'format')?.get('type')).toBe(format);
    }
    expect([...seen].sort()).toEqual(['qcow', 'qcow2', 'qed', 'raw', 'vmdk', 'vpc']);
  });
});
