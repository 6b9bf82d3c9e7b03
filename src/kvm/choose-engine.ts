/** Which engine runs a guest on this machine, and why. */
import { XennerError } from '../base/errors.js';
import { loadAddon, type NativeKvmProbe } from './addon.js';
import type { Engine } from './engine.js';
import { kvmEngine } from './kvm-engine.js';
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
 * The engine for a wish. `auto` is KVM where a small guest ran well in it, and the soft CPU elsewhere; `kvm` without KVM is
 * refused.
 */
export function chooseEngine(wish: EngineWish): EngineChoice {
  if (wish === 'soft') return { engine: chosenSoft(), why: 'it was asked for', probe: undefined };
  const probe = probeKvm();
  if (probe.usable) return { engine: kvmEngine, why: `KVM ${probe.reason}`, probe };
  if (wish === 'auto') return { engine: chosenSoft(), why: `no KVM: ${probe.reason}`, probe };
  throw new XennerError('ENO_KVM', `no KVM: ${probe.reason}`, 'use the engine `auto` or `soft`');
}

function chosenSoft(): Engine {
  requireSoftCpu();
  return softEngine;
}
