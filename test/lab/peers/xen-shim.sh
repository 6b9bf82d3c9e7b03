#!/usr/bin/env bash
# Xen's own way to run a PV guest on KVM: QEMU's emulation of Xen for HVM guests, in it a Xen that serves one PV guest.
# Usage: see common.sh. The memory is Xen's and the guest's together.
set -euo pipefail

SHIM=usr/lib/xen-4.17/boot/xen-shim

peer_fetch() {
  local cache=$XENNER_CACHE/peers deb
  shim=$cache/xen-shim-4.17
  if [ -e "$shim" ]; then return 0; fi
  deb=$(private_apt_download bookworm xen-utils-4.17 "$cache")
  dpkg-deb --fsys-tarfile "$deb" | tar -xO "./$SHIM" >"$shim.new"
  rm -f "$deb"
  mv "$shim.new" "$shim"
}

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# A multiboot module's name ends at a comma. Of the machine types only an old one passes several modules to a PVH kernel.
for file in "$KERNEL" "$INITRD"; do
  case $file in *[,\ ]*) die "$file: QEMU takes no comma or blank in the name of a module" ;; esac
done
peer_run "$QEMU" -M pc-i440fx-3.1 -accel kvm,xen-version=0x40011,kernel-irqchip=split -cpu host,+xen-vapic "${BARE[@]}" \
  -chardev stdio,id=console -device xen-console,chardev=console \
  -kernel "$shim" -append 'pv-shim console=xen,pv' -initrd "$KERNEL console=hvc0 panic=-1 ${CMDLINE//,/,,},$INITRD"
