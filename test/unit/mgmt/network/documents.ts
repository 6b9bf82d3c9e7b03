/** Documents of interfaces as libvirt writes them, and files of hosts that have something in them already. */

const document = (type: string, name: string, inside: string) =>
  `<interface type='${type}' name='${name}'>\n  <start mode='onboot'/>\n${inside}</interface>\n`;

const port = (name: string, indent: string) =>
  `${indent}<interface type='ethernet' name='${name}'>\n${indent}</interface>\n`;

const MODES = [
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  '802.3ad',
  'balance-tlb',
  'balance-alb',
] as const;

const BOTH = `  <protocol family='ipv4'>
    <ip address='192.0.2.7' prefix='24'/>
    <route gateway='192.0.2.1'/>
  </protocol>
  <protocol family='ipv6'>
    <autoconf/>
    <ip address='2001:db8::7' prefix='64'/>
    <route gateway='2001:db8::1'/>
  </protocol>
`;

interface Document {
  readonly name: string;
  readonly interfaceName: string;
  readonly xml: string;
  /** The system that has no setting for it. */
  readonly not?: string;
}

const DHCP = `  <protocol family='ipv4'>\n    <dhcp/>\n  </protocol>\n`;
const MIIMON = "    <miimon freq='100' downdelay='200' updelay='300'/>\n";

export const DOCUMENTS: readonly Document[] = [
  { name: 'an Ethernet device', interfaceName: 'eth0', xml: document('ethernet', 'eth0', '') },
  {
    name: 'one that is not started with the host',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', DHCP).replace('onboot', 'none'),
  },
  {
    name: 'one that is started when it is plugged in',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', DHCP).replace('onboot', 'hotplug'),
  },
  {
    name: 'MTU, MAC address and addresses of both families',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', `  <mtu size='9000'/>\n  <mac address='00:16:3e:00:00:01'/>\n${BOTH}`),
  },
  {
    name: 'DHCP for both families',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', `${DHCP}  <protocol family='ipv6'>\n    <dhcp/>\n  </protocol>\n`),
  },
  {
    name: 'IPv6 alone, of router advertisements',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', "  <protocol family='ipv6'>\n    <autoconf/>\n  </protocol>\n"),
  },
  {
    name: 'DHCP without its servers of names',
    interfaceName: 'eth0',
    xml: document('ethernet', 'eth0', DHCP.replace('<dhcp/>', "<dhcp peerdns='no'/>")),
    not: 'ifupdown',
  },
  {
    name: 'a bridge without ports',
    interfaceName: 'br0',
    xml: document('bridge', 'br0', `${BOTH}  <bridge stp='off' delay='0'>\n  </bridge>\n`),
  },
  {
    name: 'a bridge',
    interfaceName: 'br0',
    xml: document(
      'bridge',
      'br0',
      `  <mtu size='1400'/>\n${DHCP}  <bridge stp='on' delay='2.5'>\n${port('eth1', '    ')}${port('eth2', '    ')}  </bridge>\n`,
    ),
  },
  ...MODES.map((mode) => ({
    name: `a bond of mode ${mode}`,
    interfaceName: 'bond0',
    xml: document(
      'bond',
      'bond0',
      `${BOTH}  <bond mode='${mode}'>\n${MIIMON}${port('eth1', '    ')}${port('eth2', '    ')}  </bond>\n`,
    ),
  })),
  {
    name: 'a bond with ARP',
    interfaceName: 'bond0',
    xml: document(
      'bond',
      'bond0',
      `  <bond mode='active-backup'>\n    <arpmon interval='500' target='192.0.2.1' validate='active'/>\n${port('eth1', '    ')}  </bond>\n`,
    ),
  },
  {
    name: 'a bond that asks by ioctl',
    interfaceName: 'bond0',
    xml: document(
      'bond',
      'bond0',
      `  <bond mode='active-backup'>\n    <miimon freq='100' carrier='ioctl'/>\n${port('eth1', '    ')}  </bond>\n`,
    ),
    not: 'systemd-networkd',
  },
  {
    name: 'a VLAN',
    interfaceName: 'eth0.42',
    xml: document('vlan', 'eth0.42', `${DHCP}  <vlan tag='42'>\n    <interface name='eth0'/>\n  </vlan>\n`),
  },
  {
    name: 'a VLAN over a bond',
    interfaceName: 'bond0.42',
    xml: document('vlan', 'bond0.42', `${BOTH}  <vlan tag='42'>\n    <interface name='bond0'/>\n  </vlan>\n`),
  },
  {
    name: 'a VLAN by a name of its own',
    interfaceName: 'storage',
    xml: document('vlan', 'storage', `  <vlan tag='42'>\n    <interface name='eth0'/>\n  </vlan>\n`),
    not: 'ifupdown',
  },
  {
    name: 'a bridge over a VLAN',
    interfaceName: 'br0',
    xml: document(
      'bridge',
      'br0',
      `${BOTH}  <bridge stp='on'>
    <interface type='vlan' name='eth0.7'>
      <vlan tag='7'>
        <interface name='eth0'/>
      </vlan>
    </interface>
  </bridge>
`,
    ),
  },
  {
    name: 'a bridge over a bond',
    interfaceName: 'br0',
    xml: document(
      'bridge',
      'br0',
      `${DHCP}  <bridge stp='off'>
    <interface type='bond' name='bond0'>
      <bond mode='802.3ad'>
        <miimon freq='100'/>
${port('eth1', '        ')}${port('eth2', '        ')}      </bond>
    </interface>
  </bridge>
`,
    ),
  },
];

/** By the name of a system: what else its files may have. */
export const FOREIGN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'systemd-networkd': {
    '/etc/systemd/network/00-all.network': '# every one\n[Match]\nName=en*\n\n[Network]\nDHCP=yes\n',
    '/etc/systemd/network/50-eth0.network':
      '[Match]\nName=eth0\n; by hand\n[Network]\nLLDP=yes\nDNS=192.0.2.53\nDNS=192.0.2.54\n\n[Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.9\n[Foo]\nBar = "\xe9"',
    '/etc/systemd/network/60-eth0.network': '[Match]\nName=eth0\n[Network]\nAddress=203.0.113.1/24\n',
  },
  ifupdown: {
    '/etc/network/interfaces':
      '# The loopback\nauto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*\n\nauto wlan0 wlan1\niface wlan0 inet static\n  address 198.51.100.7\n  netmask 255.255.255.0\n  # of the driver\n  up ip route add 10.0.0.0/8 \\\n    via 198.51.100.1\n',
    '/etc/network/interfaces.d/dmz':
      'iface wlan1 inet manual\n\twpa-ssid "caf\xe9"\nmapping eth9\n    script /bin/true\n',
  },
};
