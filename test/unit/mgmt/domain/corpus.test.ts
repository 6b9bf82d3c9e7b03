/** Configurations in the shapes that are found in the wild, each with what is made of it: `vitest -u` writes it anew. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { finish } from '../../../../src/mgmt/domain/config/draft.js';
import { readLibxl, toLibxl } from '../../../../src/mgmt/domain/config/json.js';
import { Notes } from '../../../../src/mgmt/domain/config/notes.js';
import { readConfig, readConfigFile } from '../../../../src/mgmt/domain/config/read.js';
import { toXl } from '../../../../src/mgmt/domain/config/xl/write.js';
import { bootable } from '../../../../src/mgmt/domain/definition.js';

const CORPUS = fileURLToPath(new URL('corpus/', import.meta.url));
const files = readdirSync(CORPUS).filter((name) => /\.(?:cfg|xml)$/.test(name));
const overrides: Readonly<Record<string, string[]>> = { 'xm-numbered.cfg': ['vmid=3'] };

describe.each(files)('%s', (name) => {
  const options = { folder: '/srv/xen', overrides: overrides[name] ?? [] };
  const { format, definition } = readConfigFile(CORPUS + name, options);

  it('is understood as ever', async () => {
    const { notes, ...rest } = definition;
    const lines = notes.map(({ line, kind, option, text }) => `${line ?? '-'}: ${kind}: ${option}: ${text}`);
    const said = JSON.stringify({ format, bootable: bootable(definition), ...rest, notes: lines }, null, 2);
    await expect(`${said}\n`).toMatchFileSnapshot(`${CORPUS}${name}.golden.json`);
  });

  it("is the same after a turn through libxl's JSON", () => {
    const json = JSON.parse(JSON.stringify(toLibxl(definition)));
    const draft = readLibxl([{ domid: 5, config: json }], new Notes());
    const { notes: _, ...again } = finish(draft, new Notes());
    const { notes: __, ...before } = definition;
    // The file of a pv-grub and the order of loaders are all that its kind is made from.
    const devids = before.nics.map((nic, i) => ({ ...nic, devid: nic.devid ?? i }));
    expect(again).toEqual({ ...before, nics: devids });
  });
});

function readFromArchive(name: string) {
  const options = { folder: '/srv/xen', overrides: overrides[name] ?? [], archive: '/srv/wiki.xva' };
  return readConfig(readFileSync(CORPUS + name), options).definition;
}

// Of what cannot be booted nobody makes one.
describe.each(files.filter((name) => bootable(readFromArchive(name))))(
  '%s as a configuration of xl',
  (name) => {
    const definition = readFromArchive(name);
    // What is in an archive, and a network without a bridge, have no words there.
    const plain = {
      ...definition,
      disks: definition.disks.map((disk) =>
        disk.format === 'xva'
          ? { ...disk, format: 'raw' as const, member: undefined, sizeBytes: undefined }
          : disk,
      ),
      nics: definition.nics.map((nic) => ({ ...nic, network: undefined })),
    };

    it('says the same', () => {
      const again = readConfig(Buffer.from(toXl(plain)), { folder: '/nowhere' }).definition;
      expect({ ...again, notes: [] }).toEqual({ ...plain, notes: [] });
      // What is without effect is so there too; there is nothing new to say.
      const texts = (notes: typeof again.notes) => notes.map(({ text }) => text);
      expect(texts(definition.notes)).toEqual(expect.arrayContaining(texts(again.notes)));
    });
  },
);

describe('what a definition holds cannot say more than it is in xl', () => {
  const base = readConfig(Buffer.from('name="a"\nkernel="/k"\nvif=["mac=00:16:3e:00:00:01"]\n')).definition;

  it.each(['x"\nkernel = "/other', 'back\\slash"', "quote'", 'tab\tand\x01', 'ünïcode'])('%j', (text) => {
    const cmdline = { ...base.boot!, cmdline: text };
    const again = readConfig(Buffer.from(toXl({ ...base, boot: cmdline }))).definition;
    expect(again.boot).toEqual(cmdline);
  });

  it('a macvtap, and not beside a bridge', () => {
    const nics = [{ ...base.nics[0]!, macvtap: 'tap0' }];
    expect(readConfig(Buffer.from(toXl({ ...base, nics }))).definition.nics).toEqual(nics);
    const json = Buffer.from(JSON.stringify(toLibxl({ ...base, nics })));
    expect(readConfig(json).definition.nics).toMatchObject([{ macvtap: 'tap0' }]);
    const both = readConfig(Buffer.from('name="a"\nkernel="/k"\n\nvif=["bridge=br0,macvtap=tap0"]\n'));
    expect(both.definition.notes).toMatchObject([{ kind: 'error', line: 4, option: 'vif' }]);
  });

  it('a bridge with a comma in its name', () => {
    const nics = [{ ...base.nics[0]!, bridge: 'br0,script=/bin/sh' }];
    expect(readConfig(Buffer.from(toXl({ ...base, nics }))).definition.nics).toEqual(base.nics);
  });
});

describe('the shape of the corpus', () => {
  const kinds = (name: string) => {
    const { definition } = readConfigFile(CORPUS + name, { folder: '/', overrides: overrides[name] ?? [] });
    return definition.notes
      .filter(({ kind }) => kind === 'error')
      .map(({ line, option }) => `${line} ${option}`);
  };

  it.each([
    ['xm-etch-web1.cfg', []],
    ['xen-tools-wheezy.cfg', []],
    ['xm-numbered.cfg', []],
    ['xm-python.cfg', []],
    ['xl-pv.cfg', []],
    ['xl-pvgrub.cfg', []],
    ['libvirt-paravirt.xml', []],
    ['libvirt-kernel.xml', []],
    ['xl-hvm.cfg', ['1 builder']],
    ['libvirt-hvm.xml', ['6 type']],
  ])('%s has the errors that it should have', (name, errors) => {
    expect(kinds(name)).toEqual(errors);
  });

  it('refuses an HVM guest of XenServer by name, and takes the PV one', () => {
    expect(kinds('ova-hvm.xml').some((error) => error.endsWith(' HVM_boot_policy'))).toBe(true);
    expect(kinds('ova-wheezy.xml').every((error) => error.endsWith(' VDI'))).toBe(true);
  });

  it('asks for a variable of the file that the command line has not', () => {
    const { definition } = readConfigFile(`${CORPUS}xm-numbered.cfg`);
    const name = definition.notes.find(({ option }) => option === 'name');
    expect(name).toMatchObject({ kind: 'error', line: 30, text: 'give vmid=VALUE on the command line' });
  });

  it('takes overrides in every format', () => {
    for (const name of files.filter((each) => each !== 'xm-broken.cfg')) {
      const { definition } = readConfigFile(CORPUS + name, {
        overrides: [...(overrides[name] ?? []), 'name=other', 'memory=0x200', 'vcpus=1', 'maxvcpus=3'],
      });
      expect(definition).toMatchObject({ name: 'other', memoryMiB: 512, vcpus: 1, maxVcpus: 3 });
    }
    const text = 'name="a"\nkernel="/k"\nextra="quiet"\nvif=[""]\n';
    const more = readConfig(Buffer.from(text), {
      overrides: ['extra+=" ro"', "vif += ['bridge=br1']", 'root=/dev/xvda1'],
    });
    expect(more.definition.boot).toMatchObject({ cmdline: 'root=/dev/xvda1 quiet ro' });
    expect(more.definition.nics).toHaveLength(2);
  });
});
