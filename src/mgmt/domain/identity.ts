/** Names that a definition leaves open: xl makes random ones; these are the same for the same domain each time. */
import { createHash } from 'node:crypto';
import type { DomainDefinition } from './definition.js';

/** Xen's OUI, as libxl uses it (libxl__device_nic_setdefault). */
const XEN_OUI = '00:16:3e';

function digest(...words: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(words)).digest();
}

/** A UUID of version 8, which is for schemes of one's own (RFC 9562). */
export function uuidFor(...words: readonly string[]): string {
  const bytes = digest('uuid', ...words).subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The first byte behind the OUI stays below 0x80, as libxl has it. */
export function macFor(...words: readonly string[]): string {
  const bytes = digest('mac', ...words);
  bytes[0]! &= 0x7f;
  const own = [...bytes.subarray(0, 3)].map((byte) => byte.toString(16).padStart(2, '0'));
  return `${XEN_OUI}:${own.join(':')}`;
}

/** @param salt what tells this host's domains from those of others with the same name */
export function withIdentity(definition: DomainDefinition, salt = ''): DomainDefinition {
  const uuid = definition.uuid ?? uuidFor(salt, definition.name);
  const nics = definition.nics.map((nic, i) => ({
    ...nic,
    mac: nic.mac ?? macFor(uuid, String(nic.devid ?? i)),
  }));
  return { ...definition, uuid, nics };
}
