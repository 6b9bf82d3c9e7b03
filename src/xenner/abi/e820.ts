/** The memory map that XENMEM_memory_map copies out: xenctrl.h's struct e820entry. */
import { cstruct, u32, u64 } from '../../base/layout.js';

export const E820_RAM = 1;
export const E820_RESERVED = 2;
export const E820_ACPI = 3;
export const E820_NVS = 4;

export const e820entry = cstruct(
  'struct e820entry',
  '../xenctrl.h',
  20,
  { addr: u64, size: u64, type: u32 },
  { packed: true },
);
