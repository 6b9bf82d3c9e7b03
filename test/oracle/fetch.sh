#!/usr/bin/env bash
# Unpacks real Xen 4.17 of bookworm below the cache, installing nothing, and fetches a QEMU that emulates a machine
# faithfully. Prints two lines: Xen, and the program to start QEMU with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../scripts/lib/private-apt.sh
. "$here/../../scripts/lib/private-apt.sh"
# shellcheck source=../../scripts/lib/qemu10.sh
. "$here/../../scripts/lib/qemu10.sh"

cache=$XENNER_CACHE/oracle
xen=$cache/xen-4.17

if [ ! -f "$xen" ]; then
  deb=$(private_apt_download bookworm xen-hypervisor-4.17-amd64 "$cache/debs")
  dpkg-deb --fsys-tarfile "$deb" | tar -xO ./boot/xen-4.17-amd64.gz | gzip -dc >"$xen.new"
  rm -rf "$cache/debs"
  mv "$xen.new" "$xen"
fi
qemu=$(qemu10_fetch)
printf '%s\n%s\n' "$xen" "$qemu"
