/** What xl gives a network device without an address of its own: Xen's OUI, and a number at random (libxl__device_nic_setdefault). */
import { randomBytes } from '../../base/crypto.js';

export function randomMac(): string {
  const bytes = randomBytes(3);
  bytes[0]! &= 0x7f;
  return ['00', '16', '3e', ...[...bytes].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
