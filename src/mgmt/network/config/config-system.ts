/** What a host keeps its interfaces in: whose files those are, and what they say. */
import { type InterfaceDefinition, portsOf } from '../definition.js';
import { InterfaceError } from '../errors.js';

/** Text by path, absolute as the host has it. */
export type Files = ReadonlyMap<string, string>;
/** What a file is to be; undefined: removed. */
export type Changes = Map<string, string | undefined>;

export type ConfigSystemName = 'systemd-networkd' | 'ifupdown';

/** An interface by itself: ports know whose they are, and the other way round. */
export interface FlatInterface extends InterfaceDefinition {
  readonly master?: string | undefined;
  readonly masterType?: 'bridge' | 'bond' | undefined;
  readonly ports?: readonly string[] | undefined;
}

/** All methods only compute: files in, files out. What they do not understand in a file stays as it stands. */
export interface ConfigSystem {
  readonly name: ConfigSystemName;
  /** Paths one of which is there where the system is in use. */
  readonly signs: readonly string[];
  /** Files that it reads, `*` being any name. */
  readonly patterns: readonly string[];
  read(files: Files): FlatInterface[];
  /** Makes or changes one. @throws InterfaceError VIR_ERR_CONFIG_UNSUPPORTED for what the system has no setting for */
  put(files: Files, flat: FlatInterface): Changes;
  remove(files: Files, name: string): Changes;
}

/** Parts of a bridge or bond and it, each by itself; what others lie on first. */
export function flatten(definition: InterfaceDefinition, master?: InterfaceDefinition): FlatInterface[] {
  const { bridge, bond } = definition;
  const ports = portsOf(definition).flatMap((port) => flatten(port, definition));
  const bare = bridge
    ? { bridge: { ...bridge, interfaces: [] } }
    : bond
      ? { bond: { ...bond, interfaces: [] } }
      : {};
  const masterType = master === undefined ? undefined : master.bridge ? 'bridge' : 'bond';
  return [
    ...ports,
    {
      ...definition,
      ...bare,
      master: master?.name,
      masterType,
      ports: portsOf(definition).map(({ name }) => name),
    },
  ];
}

/** The other way round: those that are nobody's port, by name. A port of one that is not there stands by itself. */
export function assemble(flats: readonly FlatInterface[]): InterfaceDefinition[] {
  const names = new Set(flats.map(({ name }) => name));
  const byMaster = new Map<string, FlatInterface[]>();
  for (const flat of flats) {
    if (flat.master === undefined) continue;
    const siblings = byMaster.get(flat.master);
    if (siblings === undefined) byMaster.set(flat.master, [flat]);
    else siblings.push(flat);
  }
  const ports = (of: string, depth: number): InterfaceDefinition[] =>
    (byMaster.get(of) ?? [])
      .filter(({ name }) => name !== of)
      .map((port) => ({ ...build(port, depth + 1), start: undefined, mtu: undefined, protocols: [] }));
  // Bridge, bond, ethernet: what is deeper is a loop.
  const build = (
    { master: _, masterType: __, ports: ___, ...flat }: FlatInterface,
    depth: number,
  ): InterfaceDefinition => ({
    ...flat,
    bridge: flat.bridge && { ...flat.bridge, interfaces: depth > 2 ? [] : ports(flat.name, depth) },
    bond: flat.bond && { ...flat.bond, interfaces: depth > 2 ? [] : ports(flat.name, depth) },
  });
  return flats
    .filter(({ master }) => master === undefined || !names.has(master))
    .map((flat) => build(flat, 0))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Files with the changes made. */
export function withChanges(files: Files, changes: Changes): Files {
  const result = new Map(files);
  for (const [path, text] of changes) {
    if (text === undefined) result.delete(path);
    else result.set(path, text);
  }
  return result;
}

/** Puts a definition in the place of one of its name: parts that it no longer has are removed as well. */
export function define(system: ConfigSystem, files: Files, definition: InterfaceDefinition): Changes {
  const changes = undefine(
    system,
    files,
    definition.name,
    new Set(flatten(definition).map(({ name }) => name)),
  );
  for (const flat of flatten(definition)) {
    for (const [path, text] of system.put(withChanges(files, changes), flat)) changes.set(path, text);
  }
  return changes;
}

/** @param kept parts that stay */
export function undefine(
  system: ConfigSystem,
  files: Files,
  name: string,
  kept: ReadonlySet<string> = new Set(),
): Changes {
  const changes: Changes = new Map();
  const old = assemble(system.read(files)).find((each) => each.name === name);
  for (const part of old ? flatten(old) : []) {
    if (kept.has(part.name)) continue;
    for (const [path, text] of system.remove(withChanges(files, changes), part.name)) changes.set(path, text);
  }
  return changes;
}

export function unsupported(system: ConfigSystemName, what: string): InterfaceError {
  return new InterfaceError('VIR_ERR_CONFIG_UNSUPPORTED', `${system} has no setting for ${what}`);
}
