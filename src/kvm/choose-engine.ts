/** Which engine runs a guest on this machine, and why. */
import { XennerError } from '../base/errors.js';
import { loadAddon, type NativeKvmProbe } from './addon.js';
import type { Engine } from './engine.js';
import { requireSoftCpu, softEngine } from './soft-engine.js';

export type EngineWish = 'auto' | 'soft' | 'kvm';

export interface EngineChoice {
  engine: Engine;
  /** One clause for people. */
  why: string;
  /** What was found out about /dev/kvm; undefined when nobody asked. */
  probe: NativeKvmProbe | undefined;
}

/** Runs a small guest on /dev/kvm: opening the device says little, since some only interpret. At most 4 s. */
export function probeKvm(): NativeKvmProbe {
  return loadAddon().probeKvm();
}

/**
 * The engine for a wish. `auto` probes /dev/kvm. This version has no KVM engine, so that `auto` always ends with the
 * soft CPU and says what the probe found, and `kvm` is refused.
 */
export function chooseEngine(wish: EngineWish): EngineChoice {
  if (wish === 'kvm') {
    throw new XennerError(
      'ENO_KVM_ENGINE',
      'this version has no KVM engine',
      'use the engine `auto` or `soft`',
    );
  }
  requireSoftCpu();
  if (wish === 'soft') return { engine: softEngine, why: 'it was asked for', probe: undefined };
  const probe = probeKvm();
  const why = probe.usable
    ? 'KVM works here, but this version has no engine for it'
    : `no KVM: ${probe.reason}`;
  return { engine: softEngine, why, probe };
}
