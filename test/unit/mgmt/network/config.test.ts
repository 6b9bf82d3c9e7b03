/** Configurations of hosts: what is written is read back the same, and what others wrote stays. */
import { describe, expect, it } from 'vitest';
import {
  assemble,
  type ConfigSystem,
  define,
  type Files,
  undefine,
  withChanges,
} from '../../../../src/mgmt/network/config/config-system.js';
import { ifupdown } from '../../../../src/mgmt/network/config/ifupdown.js';
import { networkd } from '../../../../src/mgmt/network/config/networkd.js';
import { readInterface } from '../../../../src/mgmt/network/interface-xml.js';
import { writeInterface } from '../../../../src/mgmt/network/interface-xml-writer.js';
import { DOCUMENTS, FOREIGN } from './documents.js';

const SYSTEMS: readonly ConfigSystem[] = [networkd, ifupdown];

const documentOf = (system: ConfigSystem, files: Files, name: string) => {
  const found = assemble(system.read(files)).find((each) => each.name === name);
  return found && writeInterface(found);
};

describe.each(SYSTEMS)('$name', (system) => {
  const foreign: Files = new Map(Object.entries(FOREIGN[system.name]!));

  it.each(DOCUMENTS.filter(({ not }) => not !== system.name))('keeps $name', ({ xml, interfaceName }) => {
    const definition = readInterface(xml);
    const files = withChanges(foreign, define(system, foreign, definition));
    expect(documentOf(system, files, interfaceName)).toBe(xml);
    for (const [path, text] of foreign) {
      for (const line of text.split('\n')) expect(files.get(path)?.split('\n'), path).toContain(line);
    }
    expect(define(system, files, definition), 'a second time').toSatisfy((changes: Map<string, string>) =>
      [...changes].every(([path, text]) => files.get(path) === text),
    );
    const without = withChanges(files, undefine(system, files, interfaceName));
    expect(documentOf(system, without, interfaceName)).toBeUndefined();
    expect(assemble(system.read(without))).toEqual(
      assemble(system.read(foreign)).filter(({ name }) => name !== interfaceName),
    );
  });

  it('changes one kind into another, and drops parts that it has no longer', () => {
    let files = foreign;
    for (const { xml, not } of DOCUMENTS) {
      if (not === system.name) continue;
      files = withChanges(files, define(system, files, readInterface(xml)));
    }
    for (const { xml, not, interfaceName } of [...DOCUMENTS].reverse()) {
      if (not === system.name) continue;
      files = withChanges(files, define(system, files, readInterface(xml)));
      expect(documentOf(system, files, interfaceName)).toBe(xml);
    }
  });

  it.each(DOCUMENTS.filter(({ not }) => not === system.name))('refuses $name', ({ xml }) => {
    expect(() => define(system, foreign, readInterface(xml))).toThrow(
      expect.objectContaining({ code: 'VIR_ERR_CONFIG_UNSUPPORTED' }),
    );
  });
});
