/** Parts of a pool's <source> that only some types have: adapters, initiators, names of iSCSI. */
import type { XmlElement } from '../../xml/tree.js';
import type { XmlWriter } from '../../xml/writer.js';
import type { PoolAdapter } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { xmlError } from './xml-fields.js';

const ADAPTER_TYPES = ['scsi_host', 'fc_host'];

export function readAdapter(source: XmlElement): PoolAdapter {
  const element = source.find('adapter');
  if (element === undefined) throw xmlError(source, 'missing storage pool source adapter');
  const type = element.get('type') ?? 'scsi_host';
  if (type === 'fc_host') return readFcHost(element);
  if (type !== 'scsi_host')
    throw new PoolError(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `line ${element.line}: unknown pool adapter type ${quoted(type)}`,
      `there are ${ADAPTER_TYPES.join(', ')}`,
    );
  const name = element.get('name');
  const parent = element.find('parentaddr');
  if (name !== undefined && parent !== undefined)
    throw xmlError(element, 'an adapter has either a name or an address');
  if (parent !== undefined) return { type, parentAddress: readParent(parent) };
  if (name === undefined) throw xmlError(element, 'missing storage pool source adapter name');
  if (/^(?:scsi_)?host\d{1,9}$/.test(name)) return { type, name };
  throw xmlError(element, `invalid adapter name ${quoted(name)} for SCSI pool`);
}

function readParent(element: XmlElement) {
  const address = element.find('address');
  const uniqueId = element.get('unique_id');
  if (address === undefined || uniqueId === undefined || !/^\d{1,9}$/.test(uniqueId))
    throw xmlError(element, 'missing or malformed address or unique_id of the adapter');
  const part = (name: string, digits: number) => {
    const text = address.get(name) ?? '0';
    const value = Number(text);
    if (!/^(?:0x[0-9a-f]{1,4}|\d{1,5})$/i.test(text) || value >= 16 ** digits)
      throw xmlError(address, `malformed ${name} ${quoted(text)}`);
    return value.toString(16).padStart(digits, '0');
  };
  const place = `${part('domain', 4)}:${part('bus', 2)}:${part('slot', 2)}.${part('function', 1)}`;
  return { address: place, uniqueId: Number(uniqueId) };
}

function readFcHost(element: XmlElement): PoolAdapter {
  const wwn = (name: 'wwnn' | 'wwpn') => {
    const text = element.get(name);
    if (text === undefined || !/^[0-9a-f]{16}$/i.test(text))
      throw xmlError(element, `malformed ${name}: sixteen hexadecimal digits`);
    return text.toLowerCase();
  };
  const parent = element.get('parent');
  if (parent !== undefined && !/^scsi_host\d{1,9}$/.test(parent))
    throw xmlError(element, `invalid parent ${quoted(parent)}: scsi_host5 is one`);
  const managed = element.get('managed');
  if (managed !== undefined && managed !== 'yes' && managed !== 'no')
    throw xmlError(element, `unknown fc_host managed setting ${quoted(managed)}`);
  return {
    type: 'fc_host',
    wwnn: wwn('wwnn'),
    wwpn: wwn('wwpn'),
    parent,
    managed: managed === undefined ? undefined : managed === 'yes',
  };
}

export function writeAdapter(xml: XmlWriter, adapter: PoolAdapter): void {
  if (adapter.type === 'fc_host') {
    const { type, parent, managed, wwnn, wwpn } = adapter;
    const yes = managed === undefined ? undefined : managed ? 'yes' : 'no';
    xml.leaf('adapter', { type, parent, managed: yes, wwnn, wwpn });
  } else if (adapter.parentAddress === undefined)
    xml.leaf('adapter', { type: adapter.type, name: adapter.name });
  else {
    const { address, uniqueId } = adapter.parentAddress;
    const [domain, bus, slot, part] = address.split(/[:.]/).map((digits) => `0x${digits}`);
    xml.element('adapter', { type: adapter.type }, () =>
      xml.element('parentaddr', { unique_id: uniqueId }, () =>
        xml.leaf('address', { domain, bus, slot, function: part }),
      ),
    );
  }
}

/** RFC 3720, 3.2.6.3. It becomes a word of a command line. */
export function checkIscsiName(element: XmlElement, name: string): string {
  if (/^(?:iqn\.|eui\.|naa\.)[a-z0-9.:_-]{1,219}$/i.test(name)) return name;
  throw xmlError(element, `${quoted(name)} is no name of iSCSI: iqn.2001-04.com.example:disks is one`);
}

export function readInitiator(source: XmlElement): string | undefined {
  const element = source.find('initiator', 'iqn');
  const name = element?.get('name');
  return name === undefined ? undefined : checkIscsiName(element!, name);
}

/** libvirt has a place for secrets; there is none here. */
export function refuseAuth(source: XmlElement): void {
  const auth = source.find('auth');
  if (auth === undefined) return;
  throw new PoolError(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `line ${auth.line}: pools that log in with a secret are not supported`,
  );
}
