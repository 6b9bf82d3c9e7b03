/** What the monitor is told about its domain, when it is made and when it is restored. */
import { holeEntries } from '../monitor/install.js';
import * as monitor from '../monitor/vcpu-area.js';
import { xenVersionWord } from '../profile/profiles.js';
import type { Machine } from './machine.js';

export function writeDomainArea({ area, frames, choice, config, vcpus, domid, profile }: Machine): void {
  const hole = holeEntries(frames);
  const direct = (address: number) => monitor.DIRECT_VA + BigInt(address);
  const flags = config.fastPaths ? monitor.DOMAIN_FAST_PATHS : 0;
  area.setLow('flags', choice.engine.lapic ? flags | monitor.DOMAIN_LAPIC : flags);
  area.setLow('nr_pages', frames.nrPages);
  area.setLow('total_pages', frames.totalPages);
  area.set('page_info', direct(frames.pageInfo));
  area.set('m2p', direct(frames.m2p));
  area.set('xen_l4_entry', hole.xen);
  area.set('direct_l4_entry', hole.direct);
  area.setLow('nr_vcpus', vcpus.length);
  area.setLow('domid', domid);
  area.set('shared_info', direct(frames.sharedInfo));
  area.setLow('xen_version', xenVersionWord(profile));
  area.set('monitor', BigInt(frames.monitor));
  area.set('ports', direct(frames.ports));
}
