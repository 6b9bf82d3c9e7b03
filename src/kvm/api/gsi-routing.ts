/** Where interrupts of KVM_IRQ_LINE and irqfd go. */
import {
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  kvm_irq_routing,
  kvm_irq_routing_entry,
} from '../uapi/vm.js';
import { encodeCounted } from './counted.js';

export type GsiRoute =
  | {
      gsi: number;
      /** KVM_IRQCHIP_*. */
      irqchip: number;
      pin: number;
    }
  | {
      gsi: number;
      /** 0xfee00000 and up, as a device would write to. */
      address: bigint;
      /** The vector in the low 8 bits. */
      data: number;
    };

export function splitAddress(address: bigint): { address_lo: number; address_hi: number } {
  return {
    address_lo: Number(BigInt.asUintN(32, address)),
    address_hi: Number(BigInt.asUintN(32, address >> 32n)),
  };
}

export function encodeRoutes(routes: readonly GsiRoute[]): Buffer {
  const entries = routes.map((route) =>
    'pin' in route
      ? {
          gsi: route.gsi,
          type: KVM_IRQ_ROUTING_IRQCHIP,
          u: { irqchip: { irqchip: route.irqchip, pin: route.pin } },
        }
      : {
          gsi: route.gsi,
          type: KVM_IRQ_ROUTING_MSI,
          u: { msi: { ...splitAddress(route.address), data: route.data } },
        },
  );
  return encodeCounted(kvm_irq_routing, kvm_irq_routing_entry, entries);
}
