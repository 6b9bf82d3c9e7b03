#!/usr/bin/env bash
# QEMU's fastest machine on KVM, with the kernel as an ordinary guest. Usage: see common.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

peer_run "$QEMU" -M microvm,rtc=on -accel kvm -cpu host "${BARE[@]}" -serial stdio \
  -kernel "$KERNEL" -initrd "$INITRD" -append "console=ttyS0 panic=-1 reboot=t $CMDLINE"
