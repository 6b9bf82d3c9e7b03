/** XML, libvirt's and XenServer's: what is refused, and where. */
import { describe, expect, it } from 'vitest';
import { MAX_CONFIG_NESTING } from '../../../../src/base/limits.js';
import { readConfig } from '../../../../src/mgmt/domain/config/read.js';
import { parseXml } from '../../../../src/mgmt/xml/tree.js';

const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth);

describe('the tree', () => {
  it('has lines, texts and attributes, and the entities of XML', () => {
    const root = parseXml(
      '<?xml version="1.0"?>\n<a x="1 &lt; 2">t<!-- no -->e\n <b y=""\n  /><b>&amp;&#65;<![CDATA[<c>]]></b>xt</a>\n',
    );
    expect(root).toMatchObject({ name: 'a', line: 2, text: 'te\n xt' });
    expect(root.get('x')).toBe('1 < 2');
    expect(root.get('__proto__')).toBeUndefined();
    expect(root.all('b').map(({ line, content }) => [line, content])).toEqual([
      [3, undefined],
      [4, '&A<c>'],
    ]);
    expect(root.find('b')?.get('y')).toBeUndefined();
  });

  it.each([
    ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'line 1: a document type'],
    ['<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', 'line 1: a document type'],
    ['<a>\n&nbsp;</a>', 'line 2: undefined entity'],
    ['<a>\n<b></a>', 'line 2: unexpected close tag'],
    ['<a><b/>', 'line 1: unclosed tag'],
    ['<a x=1/>', 'line 1: unquoted attribute value'],
    ['<a x="1" x="2"/>', 'line 1: duplicate attribute'],
    ['<a/><b/>', 'line 1: documents may contain only one root'],
    ['<a/>text', 'line 1: text data outside of root node'],
    ['<?xml version="1.0" encoding="UTF-16"?><a/>', 'line 1: the encoding UTF-16'],
    [nested(MAX_CONFIG_NESTING + 1), 'nested too deeply'],
    ['<a>\u0001</a>', 'disallowed character'],
  ])('%s', (source, why) => {
    expect(() => parseXml(source)).toThrow(why);
  });

  it('takes what is just within the bound', () => {
    expect(parseXml(nested(MAX_CONFIG_NESTING)).name).toBe('a');
  });
});

const domain = (inner: string, type = 'xen') =>
  `<domain type='${type}'>\n<name>n</name>\n<memory unit='MiB'>256</memory>\n<os><type>linux</type><kernel>/k</kernel></os>\n${inner}</domain>`;
const read = (text: string) => readConfig(Buffer.from(text), { folder: '/f' }).definition;
const disk = (inner: string, attributes = "type='file'") =>
  domain(`<devices><disk ${attributes}>${inner}</disk></devices>`);

describe("libvirt's memory", () => {
  it.each([
    ['<memory>262144</memory>', 256],
    ["<memory unit='KiB'>262144</memory>", 256],
    ["<memory unit='b'>268435457</memory>", 257],
    ["<memory unit='bytes'>268435456</memory>", 256],
    ["<memory unit='KB'>268436</memory>", 257],
    ["<memory unit='k'>262144</memory>", 256],
    ["<memory unit='MB'>300</memory>", 287],
    ["<memory unit='M'>300</memory>", 300],
    ["<memory unit='GB'>1</memory>", 954],
    ["<memory unit='G'>1</memory>", 1024],
    ["<memory unit='GiB'>1</memory>", 1024],
  ])('%s', (memory, memoryMiB) => {
    expect(read(domain(memory)).maxMemoryMiB).toBe(memoryMiB);
  });
});

describe("libvirt's errors have their line", () => {
  it.each([
    [domain('', 'kvm'), 1, 'a domain of "kvm"'],
    [domain("<memory unit='MiB'>-1</memory>"), 5, 'whole number'],
    [domain("<memory unit='parsec'>1</memory>"), 5, 'the unit "parsec"'],
    [domain("<vcpu current='3'>2</vcpu>"), 5, 'less than'],
    [domain('<os><type>hvm</type></os>'), 5, 'HVM'],
    [domain('<os><type>xenpvh</type></os>'), 5, 'PVH'],
    [domain('<on_crash>explode</on_crash>'), 5, '"explode" is none of'],
    [domain('<uuid>xyz</uuid>'), 5, 'no UUID'],
    [disk("<target dev='xvda'/>"), 5, 'no <source>'],
    [disk("<source file='/a'/>"), 5, 'no <target dev=...>'],
    [disk("<source name='rbd/a'/><target dev='xvda'/>", "type='network'"), 5, '"network" is not supported'],
    [disk("<driver type='dmg'/><source file='/a'/><target dev='xvda'/>"), 5, 'the format "dmg"'],
    [domain("<devices><interface type='bridge'><mac address='x'/></interface></devices>"), 5, 'no MAC'],
  ])('%s', (text, line, why) => {
    const errors = read(text).notes.filter(({ kind }) => kind === 'error');
    expect(errors).toEqual([expect.objectContaining({ line, text: expect.stringContaining(why) })]);
  });

  it.each([
    ["<driver type='qcow2'/>", '', "<secret type='passphrase' uuid='1-2'/>", 'the secret "1-2" of libvirt'],
    ["<driver type='qcow2'/>", '', "<secret type='passphrase' usage='web'/>", 'the secret "web" of libvirt'],
    ["<driver type='qcow2'/>", 'source', '', 'a secret of libvirt'],
    ["<driver type='raw'/>", '', '', 'supported for qcow2, and not for raw'],
  ])('encrypted: %s %s %s', (driver, where, secret, why) => {
    const encryption = `\n<encryption format='luks'>${secret}</encryption>`;
    const [inside, beside] = where === 'source' ? [encryption, ''] : ['', encryption];
    const text = disk(`${driver}<source file='/a'>${inside}</source><target dev='xvda'/>${beside}`);
    expect(read(text).notes).toEqual([
      { kind: 'error', line: 6, option: 'disk', text: expect.stringContaining(why) },
    ]);
    // As it says: what takes the disk's place is not wrong for what the disk was.
    const overrides = ['disk=["/a,qcow2,xvda,w,password-file=/p"]'];
    const { definition } = readConfig(Buffer.from(text), { folder: '/f', overrides });
    expect(definition).toMatchObject({ notes: [], disks: [{ path: '/a', passwordFile: '/p' }] });
  });

  it('paths are of the working directory', () => {
    expect(read(disk("<source file='a.img'/><target dev='xvda'/>")).disks[0]).toMatchObject({
      path: '/f/a.img',
    });
  });
});

describe('what is no configuration at all', () => {
  it.each([
    ['<network/>', 'begins with <network>'],
    ['\0\0\0\0', 'no text'],
    ['\x1f\x8b\x08\0', 'compressed'],
    ['{"a":', 'no JSON'],
  ])('%j', (text, why) => {
    expect(() => readConfig(Buffer.from(text, 'latin1'))).toThrow(why);
  });

  it.each(['{}', '[]', '[null]', '{"config": 5}', '<value>text</value>', '<value><struct/></value>'])(
    '%s is told',
    (text) => {
      const { definition } = readConfig(Buffer.from(text));
      expect(definition.notes.filter(({ kind }) => kind === 'error')).not.toEqual([]);
    },
  );
});
