/** A host interface's document, as libvirt writes it (virInterfaceDefFormat()). */
import { XmlWriter } from '../xml/writer.js';
import type { Bond, InterfaceDefinition, Protocol } from './definition.js';

export function writeInterface(definition: InterfaceDefinition): string {
  const xml = new XmlWriter();
  writeElement(xml, definition, false);
  return xml.text;
}

function writeElement(xml: XmlWriter, definition: InterfaceDefinition, isPort: boolean): void {
  const { type, name, start, mtu, mac, link, bridge, bond, vlan } = definition;
  xml.element('interface', { type, name }, () => {
    if (start !== undefined) xml.leaf('start', { mode: start });
    if (mtu !== undefined && !isPort) xml.leaf('mtu', { size: mtu });
    // libvirt's schema has a link for all but bridges, and a MAC address for ethernet only.
    if (link !== undefined && type !== 'bridge')
      xml.leaf('link', { speed: link.speed || undefined, state: link.state });
    if (mac !== undefined && type === 'ethernet') xml.leaf('mac', { address: mac });
    for (const protocol of definition.protocols) writeProtocol(xml, protocol);
    if (bridge !== undefined) {
      const stp = bridge.stp === undefined ? undefined : bridge.stp ? 'on' : 'off';
      xml.element('bridge', { stp, delay: bridge.delay }, () => writePorts(xml, bridge.interfaces));
    }
    if (bond !== undefined) writeBond(xml, bond);
    if (vlan !== undefined)
      xml.element('vlan', { tag: vlan.tag }, () => xml.leaf('interface', { name: vlan.interface }));
  });
}

function writeProtocol(xml: XmlWriter, { family, autoconf, dhcp, ips, gateway }: Protocol): void {
  const yes = (is: boolean | undefined) => (is === undefined ? undefined : is ? 'yes' : 'no');
  xml.element('protocol', { family }, () => {
    if (autoconf) xml.leaf('autoconf', {});
    if (dhcp !== undefined) xml.leaf('dhcp', { peerdns: yes(dhcp.peerdns) });
    for (const { address, prefix } of ips) xml.leaf('ip', { address, prefix });
    if (gateway !== undefined) xml.leaf('route', { gateway });
  });
}

function writeBond(xml: XmlWriter, { mode, miimon, arpmon, interfaces }: Bond): void {
  xml.element('bond', { mode }, () => {
    if (miimon !== undefined) {
      const { freq, downdelay, updelay, carrier } = miimon;
      xml.leaf('miimon', { freq, downdelay, updelay, carrier });
    }
    if (arpmon !== undefined) xml.leaf('arpmon', { ...arpmon });
    writePorts(xml, interfaces);
  });
}

function writePorts(xml: XmlWriter, ports: readonly InterfaceDefinition[]): void {
  for (const port of ports) writeElement(xml, port, true);
}
