#!/usr/bin/env bash
# A stock Debian kernel, taken out of its package. Prints the path of the vmlinuz; the second time without a network.
# usage: kernel.sh [--refresh] [bookworm|bookworm-cloud|bullseye|backports]
set -euo pipefail
. "$(dirname "$0")/../scripts/lib/common.sh"
. "$(dirname "$0")/../scripts/lib/private-apt.sh"
. "$(dirname "$0")/../scripts/lib/debian-kernel.sh"

# Sets SUITE and METAPACKAGE, which depends on the newest kernel of its kind.
choose() {
  case $1 in
    bookworm) SUITE=bookworm METAPACKAGE=linux-image-amd64 ;;
    bookworm-cloud) SUITE=bookworm METAPACKAGE=linux-image-cloud-amd64 ;;
    bullseye) SUITE=bullseye METAPACKAGE=linux-image-amd64 ;;
    backports) SUITE=bookworm-backports METAPACKAGE=linux-image-amd64 ;;
    *) die "unknown kernel '$1': bookworm, bookworm-cloud, bullseye or backports" ;;
  esac
}

fetch() {
  local into=$1
  # Of some 300 MiB only the kernel itself is kept.
  debian_kernel_unpack "$SUITE" "$METAPACKAGE" "$into.part" --strip-components=2 './boot/vmlinuz-*'
  rm -rf "$into"
  mv "$into.part" "$into"
}

refresh=
if [ "${1:-}" = --refresh ]; then
  refresh=yes
  shift
fi
name=${1:-bookworm}
choose "$name"
into=$XENNER_CACHE/images/kernel-$name
mkdir -p "$XENNER_CACHE/images"

# Two scripts may ask for the same kernel at once.
exec 9>"$into.lock"
flock 9
if [ -n "$refresh" ]; then private_apt_refresh "$SUITE" deb; fi
if [ -n "$refresh" ] || ! compgen -G "$into/vmlinuz-*" >/dev/null; then
  rm -rf "$into.part"
  fetch "$into"
fi
compgen -G "$into/vmlinuz-*"
