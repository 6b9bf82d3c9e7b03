/** The feature strings of Xen kernels: `writable_page_tables|!pae_pgdir_above_4gb`, where `!` marks a requirement. */
import {
  XENFEAT_auto_translated_physmap,
  XENFEAT_dom0,
  XENFEAT_hvm_callback_vector,
  XENFEAT_pae_pgdir_above_4gb,
  XENFEAT_supervisor_mode_kernel,
  XENFEAT_writable_descriptor_tables,
  XENFEAT_writable_page_tables,
} from '../abi/features.js';

/** libelf-dominfo.c, elf_xen_feature_names: only these have a name in a string. */
const NAMES: ReadonlyArray<readonly [string, number]> = [
  ['writable_page_tables', XENFEAT_writable_page_tables],
  ['writable_descriptor_tables', XENFEAT_writable_descriptor_tables],
  ['auto_translated_physmap', XENFEAT_auto_translated_physmap],
  ['supervisor_mode_kernel', XENFEAT_supervisor_mode_kernel],
  ['pae_pgdir_above_4gb', XENFEAT_pae_pgdir_above_4gb],
  ['hvm_callback_vector', XENFEAT_hvm_callback_vector],
  ['dom0', XENFEAT_dom0],
];
const BY_NAME = new Map(NAMES);

/**
 * What a domU kernel may require and still run. Linux requires writable_page_tables, by which it means that it copes
 * with Xen's way of writing them.
 */
const OFFERED = (1 << XENFEAT_writable_page_tables) | (1 << XENFEAT_pae_pgdir_above_4gb);

export interface Features {
  /** Bit maps by XENFEAT_* number. */
  supported: number;
  required: number;
  /** Required by a name that Xen does not know. */
  unknown: string[];
}

export function noFeatures(): Features {
  return { supported: 0, required: 0, unknown: [] };
}

/** Adds what a FEATURES note or the FEATURES= of a __xen_guest section says. Unknown names matter only if required. */
export function addFeatureString(features: Features, text: string): void {
  for (const item of text.split('|')) {
    const required = item.startsWith('!');
    const name = required ? item.slice(1) : item;
    const bit = BY_NAME.get(name);
    if (bit === undefined) {
      if (required) features.unknown.push(name);
      continue;
    }
    features.supported |= 1 << bit;
    if (required) features.required |= 1 << bit;
  }
}

/** Names by bit, for people. */
export function featureNames(bits: number): string[] {
  return NAMES.filter(([, bit]) => (bits >>> bit) & 1).map(([name]) => name);
}

/** Requirements that no domU of ours meets, by name. */
export function refusedFeatures(features: Features): string[] {
  return [...featureNames(features.required & ~OFFERED), ...features.unknown];
}
