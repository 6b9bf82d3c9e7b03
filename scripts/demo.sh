#!/usr/bin/env bash
# Boots a guest on this terminal: the stock Debian kernel to a shell, or with --disk a whole Debian 12 from its disk, by its
# own boot menu, with a network. Without a terminal it runs a short session by script and fails unless the guest answered.
# usage: demo.sh [bookworm|bookworm-cloud|bullseye|backports]
#        demo.sh --disk [raw|qcow2]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

XENNER=(node "$ROOT/dist/cli/main.js")

boot_kernel() {
  local kernel ramdisk cmdline='console=hvc0 quiet' lines columns
  bash "$ROOT/scripts/setup.sh" run
  kernel=$(bash "$ROOT/images/kernel.sh" "${1:-bookworm}")
  ramdisk=$(bash "$ROOT/images/initramfs.sh")
  if [ -t 0 ] && [ -t 1 ]; then
    read -r lines columns < <(stty size)
    cmdline+=" TERM=${TERM:-linux} LINES=$lines COLUMNS=$columns"
  fi
  visit shell "${XENNER[@]}" run --kernel "$kernel" --ramdisk "$ramdisk" --memory 256 --cmdline "$cmdline"
}

# As one that came from a Xen host: a configuration of xl, and a disk, of which a copy is booted.
boot_disk() {
  local format=${1:-qcow2} disk name=demo-$$
  bash "$ROOT/scripts/setup.sh" disk
  disk=$(bash "$ROOT/images/disk.sh" "$format")
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # their values of now
  trap "${XENNER[*]@Q} destroy $name 2>/dev/null || true; rm -rf '$work'" EXIT
  cp --sparse=always "$disk" "$work/disk"
  cat >"$work/demo.cfg" <<EOF
name = "$name"
memory = 512
bootloader = "pygrub"
disk = ["$work/disk,$format,xvda,w"]
vif = [""]
EOF
  visit disk "${XENNER[@]}" create -c "$work/demo.cfg"
}

# visit SESSION COMMAND...: by whoever sits at the terminal, or by script.
visit() {
  local session=$1
  shift
  if [ -t 0 ] && [ -t 1 ]; then
    "$@"
  else
    node "$ROOT/scripts/lib/demo-session.mjs" "$session" "$@"
  fi
}

case ${1:-} in
  --disk) boot_disk "${@:2}" ;;
  *) boot_kernel "$@" ;;
esac
