/**
 * What a guest is told about the machine that it is on, under a name that stays true: a guest that was made, or saved, under
 * one finds the same again under a later xenner. Plain data; whatever else a guest can see follows from Xen's ABI and the
 * domain's configuration, and test/profile holds all of it against a dump.
 */

/** Bits of CPUID that a guest may see where the engine's CPU has them. */
export interface CpuidBits {
  readonly leaf1Ecx: readonly number[];
  readonly leaf1Edx: readonly number[];
  readonly leaf7Ebx: readonly number[];
  readonly extendedEcx: readonly number[];
  readonly extendedEdx: readonly number[];
}

export interface AbiProfile {
  /** XEN-VERSION-REVISION: `xen-4.17-v1`. */
  readonly name: string;
  /** What HYPERVISOR_xen_version and CPUID say. */
  readonly xen: {
    readonly major: number;
    readonly minor: number;
    readonly extraversion: string;
    readonly capabilities: string;
    readonly changeset: string;
    readonly compileInfo: {
      readonly compiler: string;
      readonly compile_by: string;
      readonly compile_domain: string;
      readonly compile_date: string;
    };
    /** XENFEAT_* of submap 0. */
    readonly features: readonly number[];
  };
  readonly cpuid: {
    readonly visible: CpuidBits;
    /** The CPU that the soft engine shows; elsewhere a guest sees the host's. */
    readonly softCpu: {
      readonly vendor: string;
      /** Leaf 1, eax: stepping, model, family. */
      readonly signature: number;
      readonly brand: string;
      /** Of a cache line, in units of 8 bytes, as leaf 1 has it. */
      readonly clflushSize: number;
    };
    /** XEN_CPUID_FEAT1_* */
    readonly xenFeatures: number;
    readonly physicalBits: number;
    readonly linearBits: number;
  };
  /** What a guest reads in its CR4. */
  readonly cr4: bigint;
  readonly startInfo: {
    readonly magic: string;
    /** SIF_*, beside what the image asks for. */
    readonly flags: number;
  };
  /** max_grant_frames: grant entries are 512 a frame. */
  readonly grantFrames: number;
}
