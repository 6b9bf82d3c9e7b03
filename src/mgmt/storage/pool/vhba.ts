/** Virtual host adapters by documents and names, as libvirt's node devices (virNodeDeviceCreateXML, virNodeDeviceDestroy). */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { XmlElement } from '../../xml/tree.js';
import { PoolError, quoted } from './errors.js';
import { createVport, deleteVport, listFcHosts } from './npiv.js';
import { parseDocument } from './pool-xml.js';
import { hostOfAdapter } from './scsi-host.js';
import { textOf, xmlError } from './xml-fields.js';

const WWN = /^[0-9a-f]{16}$/i;

/** Answers its name. @throws PoolError VIR_ERR_XML_ERROR; as createVport() */
export function createVhba(xml: string, sys = '/sys'): string {
  const device = parseDocument(xml, 'device');
  const host = device.all('capability').find((each) => each.get('type') === 'scsi_host');
  const fc = host?.all('capability').find((each) => each.get('type') === 'fc_host');
  if (fc === undefined) throw xmlError(device, 'no capability fc_host in one that is a scsi_host');
  const parent = textOf(device, 'parent');
  if (parent !== undefined && !/^scsi_host\d{1,9}$/.test(parent))
    throw xmlError(device, `invalid parent ${quoted(parent)}: scsi_host5 is one`);
  const adapter = { type: 'fc_host' as const, wwnn: wwnOf(fc, 'wwnn'), wwpn: wwnOf(fc, 'wwpn'), parent };
  createVport(sys, adapter);
  return `scsi_host${hostOfAdapter(sys, adapter)}`;
}

function wwnOf(element: XmlElement, name: 'wwnn' | 'wwpn'): string {
  const text = textOf(element, name);
  if (text !== undefined && WWN.test(text)) return text.toLowerCase();
  throw xmlError(element, `malformed ${name}: sixteen hexadecimal digits`);
}

/** @param which scsi_host9, or WWNN,WWPN. @throws PoolError VIR_ERR_INVALID_ARG: no virtual one; VIR_ERR_SYSTEM_ERROR */
export function destroyVhba(which: string, sys = '/sys'): void {
  const found = listFcHosts(sys).find(({ name, wwnn, wwpn }) => [name, `${wwnn},${wwpn}`].includes(which));
  if (found === undefined)
    throw new PoolError('VIR_ERR_INVALID_ARG', `there is no adapter ${quoted(which)} of Fibre Channel`);
  deleteVport(sys, {
    type: 'fc_host',
    wwnn: found.wwnn,
    wwpn: found.wwpn,
    parent: parentOf(sys, found.name),
  });
}

/** The kernel has a virtual adapter's host below its parent's: .../host5/vport-5:0-0/host9. */
function parentOf(sys: string, name: string): string {
  const folder = realpathSync(join(sys, 'class/fc_host', name.replace(/^scsi_/, '')));
  const parent = /\/host(\d+)\/vport-[^/]*\//.exec(folder)?.[1];
  if (parent !== undefined) return `scsi_host${parent}`;
  throw new PoolError('VIR_ERR_INVALID_ARG', `${quoted(name)} is no virtual adapter`);
}
