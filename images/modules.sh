#!/usr/bin/env bash
# The drivers of a stock Debian kernel for paravirtual disks and networks, Xen's and virtio's, uncompressed, side by side. Prints the
# folder; the second time without a network. In it `load` has the files' names in the order in which insmod takes them.
# usage: modules.sh [bookworm|bookworm-cloud|bullseye|backports]
set -euo pipefail
. "$(dirname "$0")/../scripts/lib/common.sh"
. "$(dirname "$0")/../scripts/lib/private-apt.sh"

DRIVERS=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_mmio virtio_blk failover net_failover
  virtio_net xen-blkfront xen-netfront)
DRIVERS=("${DRIVERS[@]/%/.ko*}")

fetch() {
  local package=$1 into=$2 suite=$3 deb name
  mkdir -p "$into.part/all"
  deb=$(private_apt_download "$suite" "$package" "$into.part/all")
  dpkg-deb --fsys-tarfile "$deb" |
    tar -x -C "$into.part/all" --wildcards --transform 's,.*/,,' "${DRIVERS[@]/#/*/}"
  find "$into.part/all" -name "*.xz" -exec xz -d {} + # where the kernel's are compressed
  for name in "${DRIVERS[@]%\*}"; do mv "$into.part/all/$name" "$into.part"; echo "$name"; done >"$into.part/load"
  rm -r "$into.part/all"
  mv "$into.part" "$into"
}

name=${1:-bookworm}
case $name in backports) suite=bookworm-backports ;; bullseye) suite=bullseye ;; *) suite=bookworm ;; esac
kernel=$(bash "$ROOT/images/kernel.sh" "$name")
package=linux-image-${kernel#*/vmlinuz-}
into=$XENNER_CACHE/images/modules-${kernel#*/vmlinuz-}
exec 9>"$into.lock"
flock 9
if [ ! -e "$into" ]; then
  rm -rf "$into.part"
  step "$LOGS/modules.log" "downloading $package" fetch "$package" "$into" "$suite"
fi
printf '%s\n' "$into"
