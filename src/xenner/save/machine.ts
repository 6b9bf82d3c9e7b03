/** The state of a domain at rest as JSON, and a domain made from that. Memory is kept apart: save-file.ts. */
import { XennerError } from '../../base/errors.js';
import type { Gpa, GuestMemory } from '../../kvm/index.js';
import { guestCpuid } from '../cpuid.js';
import type { Machine } from '../domain/machine.js';
import type { RingPfns } from '../domain/start-of-day.js';
import { type MonitorImage, monitorImageIn } from '../monitor/image.js';
import { saveConfig } from './config.js';
import { missingFeatures } from './cpu-features.js';
import { hex64, type Json, Saved } from './saved.js';
import { restoreVcpu, saveVcpu } from './vcpu.js';

const MAX_VM_ASSIST = 2n ** 32n - 1n;

/**
 * @param backends what the main thread keeps: see Backends.freeze()
 * @param userData what is nobody's but the user's
 */
export function saveMachine(machine: Machine, backends: Json, userData: Json): Json {
  const { systemNs, tsc } = machine.clock.saved;
  return {
    config: saveConfig(machine.config),
    engine: machine.choice.engine.name,
    savedAt: new Date().toISOString(),
    storePfn: machine.ringPfns.storePfn,
    consolePfn: machine.ringPfns.consolePfn,
    backends,
    userData,
    clock: { systemNs, tsc: hex64(tsc) },
    vmAssist: hex64(machine.vmAssist),
    shutdownCode: machine.shutdownCode ?? null,
    pirqEoiMfn: machine.pirqEoiMfn ?? null,
    freeFrames: machine.freeFrames.save(),
    watchdogs: machine.watchdogs.save(),
    events: machine.events.save(),
    grants: machine.grants.save(),
    vcpus: machine.vcpus.map(saveVcpu),
  };
}

/**
 * Gives a machine that was made for it, with the saved memory, the rest of its state.
 * @throws XennerError ESAVE_DAMAGED, ESAVE_CPU
 */
export function restoreMachine(machine: Machine, json: Json): RingPfns {
  const saved = new Saved(json, 'state');
  const { nrPages } = machine;
  const clock = saved.get('clock');
  machine.clock.resume({ systemNs: clock.get('systemNs').time(), tsc: clock.get('tsc').u64() });
  machine.vmAssist = saved.get('vmAssist').u64() & MAX_VM_ASSIST;
  machine.shutdownCode = saved.get('shutdownCode').optional((code) => code.int(0, 0xff));
  machine.pirqEoiMfn = saved.get('pirqEoiMfn').optional((mfn) => mfn.int(0, nrPages - 1));
  machine.freeFrames.restore(saved.get('freeFrames'));
  machine.watchdogs.restore(saved.get('watchdogs'));
  machine.events.restore(saved.get('events'));
  machine.grants.restore(saved.get('grants'));
  const vcpus = saved.get('vcpus').tuple(machine.vcpus.length);
  const { engine } = machine.choice;
  const offered = guestCpuid(machine.profile, 0, machine.vcpus.length, engine.cpuid?.());
  for (const vcpu of machine.vcpus) {
    restoreVcpu(vcpu, vcpus[vcpu.id]!, machine);
    checkCpu(engine.name, vcpu.cpuid, offered);
  }
  const pfn = (name: string) => saved.get(name).int(0, nrPages - 1);
  return { storePfn: pfn('storePfn'), consolePfn: pfn('consolePfn') };
}

function checkCpu(engine: string, ...tables: Parameters<typeof missingFeatures>): void {
  const missing = missingFeatures(...tables);
  if (missing.length === 0) return;
  throw new XennerError(
    'ESAVE_CPU',
    `the guest uses what the CPU of the ${engine} engine has not here: ${missing.join(', ')}`,
    'restore it on another engine or another host',
  );
}

/** The one that the guest ran with. @throws XennerError ESAVE_DAMAGED */
export function savedMonitor(memory: GuestMemory, at: Gpa): MonitorImage {
  const image = monitorImageIn(memory, at);
  if (image === undefined)
    throw new XennerError('ESAVE_DAMAGED', 'the save file is damaged: its guest has no monitor');
  return image;
}
