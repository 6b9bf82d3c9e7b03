/** What a tool stack asks of a guest by xenstore; the guest may do it, late or never. Nodes as libxl writes them. */
import { XennerError } from '../../base/errors.js';
import type { XenstoreHandle } from '../xenstore/index.js';

/** Of control/shutdown (xen's docs/misc/xenstore-paths). */
export const SHUTDOWN_REQUESTS = ['poweroff', 'reboot', 'halt', 'suspend'] as const;
export type ShutdownRequest = (typeof SHUTDOWN_REQUESTS)[number];

export interface GuestLimits {
  readonly memoryMiB: number;
  readonly vcpus: number;
}

export class GuestControl {
  /** @param store relative paths are the domain's own */
  constructor(
    private readonly store: XenstoreHandle,
    private readonly home: string,
    private readonly limits: GuestLimits,
  ) {}

  shutdown(request: ShutdownRequest): void {
    this.store.write(`${this.home}/control/shutdown`, request);
  }

  /** A key of Linux's SysRq. @throws XennerError EINVAL */
  sysrq(key: string): void {
    if (!/^[0-9a-z]$/.test(key)) throw new XennerError('EINVAL', 'sysrq: one letter or digit is needed');
    this.store.write(`${this.home}/control/sysrq`, key);
  }

  /** How many vCPUs the guest may use, of those that it has. In Linux udev takes new ones into use. @throws XennerError EINVAL */
  setVcpus(count: number): void {
    const { vcpus } = this.limits;
    if (!Number.isInteger(count) || count < 1 || count > vcpus)
      throw new XennerError('EINVAL', `the domain has ${vcpus} vCPUs: 1 to ${vcpus} can be in use`);
    this.store.transaction((view) => {
      for (let id = 0; id < vcpus; id++)
        view.write(`${this.home}/cpu/${id}/availability`, id < count ? 'online' : 'offline');
    });
  }

  /** How much memory the guest is to keep. @throws XennerError EINVAL */
  setMemory(memoryMiB: number): void {
    const max = this.limits.memoryMiB;
    if (!Number.isInteger(memoryMiB) || memoryMiB < 1 || memoryMiB > max)
      throw new XennerError('EINVAL', `the domain has ${max} MiB of memory: 1 to ${max} can be its target`);
    this.store.write(`${this.home}/memory/target`, memoryMiB * 1024);
  }
}
