#!/usr/bin/env bash
# Fetches and builds what the lab is made of, all below the cache. Prints three lines: the program to start QEMU with, the
# kernel, the initramfs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../scripts/lib/common.sh"
. "$here/../../scripts/lib/private-apt.sh"
. "$here/../../scripts/lib/busybox.sh"
. "$here/../../scripts/lib/debian-kernel.sh"
. "$here/../../scripts/lib/qemu10.sh"

cache=$XENNER_CACHE/lab
kernel=$cache/kernel
# What the initramfs has to load before it sees the host's files, and KVM, which every command wants.
MODULES=(9pnet_virtio 9p overlay kvm_amd)

fetch_kernel() {
  local part=$kernel.part
  rm -rf "$part"
  mkdir -p "$part"
  debian_kernel_unpack bookworm-backports linux-image-amd64 "$part" './boot/vmlinuz-*' './lib/modules/*'
  say 'indexing the modules'
  nice "$busybox" depmod -b "$part" "$(ls "$part/lib/modules")"
  mv "$part" "$kernel"
}

# A module's files, those that it depends on first.
module_files() {
  local name
  for name in "$@"; do
    sed -nE "s,^([^:]*/${name//[-_]/[-_]}\.ko[^:]*): *(.*),\1 \2,p" "$tree/modules.dep" | tr ' ' '\n' | awk NF | tac
  done | awk '!seen[$0]++'
}

build_initramfs() {
  local root file name
  root=$(mktemp -d)
  mkdir -p "$root"/{bin,dev,proc,sys,host,layer,root,modules}
  gcc -O2 -static -Wall -Wextra -Werror -o "$root/agent" "$here/agent.c"
  install -m 755 "$here/init.sh" "$root/init"
  install -m 755 "$busybox" "$root/bin/busybox"
  for name in $("$busybox" --list | grep -vx busybox); do ln -s busybox "$root/bin/$name"; done
  printf 'MODULES=%q\n' "$tree" >"$root/lab.conf"
  while read -r file; do
    name=$(basename "$file" .xz)
    "$busybox" xzcat "$tree/$file" >"$root/modules/$name"
    printf '%s\n' "$name" >>"$root/modules/order"
  done < <(module_files "${MODULES[@]}")
  (cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$initramfs.part"
  rm -rf "$root"
  mv "$initramfs.part" "$initramfs"
}

mkdir -p "$cache" "$XENNER_CACHE/images"
exec 9>"$cache.lock"
flock 9
qemu=$(qemu10_fetch)
busybox=$(busybox_fetch)
[ -d "$kernel" ] || fetch_kernel
version=$(ls "$kernel/lib/modules")
tree=$kernel/lib/modules/$version
initramfs=$cache/initramfs-$(cat "$here"/{agent.c,init.sh,fetch.sh} <(echo "$tree") | sha256sum | cut -c 1-16).cpio
if [ ! -e "$initramfs" ]; then
  say 'building the initramfs'
  build_initramfs
fi
printf '%s\n' "$qemu" "$kernel/boot/vmlinuz-$version" "$initramfs"
