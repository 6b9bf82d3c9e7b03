#!/usr/bin/env bash
# Boots the stock Debian kernel as a Xen PV guest, to a shell on this terminal. Without a terminal it runs a short
# session by script and fails unless the guest answered.
# usage: demo.sh [bookworm|bookworm-cloud|bullseye|backports]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

bash "$ROOT/scripts/setup.sh" run
kernel=$(bash "$ROOT/images/kernel.sh" "${1:-bookworm}")
ramdisk=$(bash "$ROOT/images/initramfs.sh")

run=(node "$ROOT/dist/cli/main.js" run --kernel "$kernel" --ramdisk "$ramdisk" --memory 256)
if [ -t 0 ] && [ -t 1 ]; then
  read -r lines columns < <(stty size)
  exec "${run[@]}" --cmdline "console=hvc0 quiet TERM=${TERM:-linux} LINES=$lines COLUMNS=$columns"
fi
exec node "$ROOT/scripts/lib/demo-session.mjs" "${run[@]}" --cmdline 'console=hvc0 quiet'
