#!/usr/bin/env bash
# A disk with Debian 12 on it, as a Xen host's installer would leave it: an MBR, one bootable ext4 partition, Debian's kernel
# with a GRUB menu, systemd, a login prompt on the console, the network by DHCP. Made from Debian's packages, without root where user
# namespaces are to be had. Prints its path; the second time it is there already. root has no password.
# usage: disk.sh [--refresh] [raw|qcow2]
set -euo pipefail
. "$(dirname "$0")/../scripts/lib/common.sh"
. "$(dirname "$0")/../scripts/lib/private-apt.sh"

SUITE=bookworm
# The cloud kernel has the front ends as modules, and a fifth of the others.
PACKAGES=systemd-sysv,systemd-resolved,udev,dbus,login,kmod,iproute2,iputils-ping,curl,linux-image-cloud-amd64,initramfs-tools,e2fsprogs,fio,busybox-static
DISK_MIB=2048
PARTITION_AT=1048576
LABEL=xenner-root

# As root of a user namespace where we are not root: owners stay what they are in the archive.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else unshare --user --map-auto --map-root-user "$@"; fi
}

# Writes a file of the image: path, then its text from standard input.
write() { install -D -m 644 /dev/stdin "$TREE$1"; }

configure() {
  write /etc/fstab <<<"LABEL=$LABEL / ext4 errors=remount-ro 0 1"
  write /etc/hostname <<<xenner-disk
  write /etc/hosts <<<'127.0.0.1 localhost xenner-disk'
  write /etc/systemd/network/20-wired.network <<'EOF'
[Match]
Driver=vif

[Network]
DHCP=yes
EOF
  ln -sf /lib/systemd/system/systemd-networkd.service "$TREE/etc/systemd/system/multi-user.target.wants/"
  sed -i 's/^root:[^:]*:/root::/' "$TREE/etc/shadow"
  write /etc/machine-id </dev/null
}

# What grub-mkconfig writes for one kernel. It cannot run here: it asks the running system for its disks.
boot_menu() {
  local kernel
  kernel=$(cd "$TREE/boot" && echo vmlinuz-*)
  write /boot/grub/grub.cfg <<EOF
set default="0"
set timeout=5

menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class os {
	insmod part_msdos
	insmod ext2
	search --no-floppy --label --set=root $LABEL
	echo	'Loading Linux ${kernel#vmlinuz-} ...'
	linux	/boot/$kernel root=LABEL=$LABEL ro console=hvc0 quiet
	initrd	/boot/${kernel/vmlinuz/initrd.img}
}
submenu 'Advanced options for Debian GNU/Linux' {
	menuentry 'Debian GNU/Linux, with Linux ${kernel#vmlinuz-} (recovery mode)' {
		search --no-floppy --label --set=root $LABEL
		linux	/boot/$kernel root=LABEL=$LABEL ro single console=hvc0
		initrd	/boot/${kernel/vmlinuz/initrd.img}
	}
}
EOF
}

# In a namespace of its own if need be: tree.tar becomes disk.raw.
fill() {
  TREE=$1/tree
  mkdir "$TREE"
  tar -C "$TREE" --numeric-owner --exclude='./dev/*' -xf "$1/tree.tar"
  configure
  boot_menu
  truncate -s "${DISK_MIB}M" "$1/disk.raw"
  sfdisk -q "$1/disk.raw" <<<"start=$((PARTITION_AT / 512)), type=83, bootable"
  mke2fs -q -t ext4 -L "$LABEL" -d "$TREE" -E "offset=$PARTITION_AT,lazy_itable_init=0" "$1/disk.raw" \
    $((DISK_MIB - PARTITION_AT / 1048576))M
  rm -rf "$TREE"
}

make_raw() {
  local work=$1
  private_apt_with "$SUITE" deb true
  mmdebstrap --quiet --mode=auto --variant=minbase --aptopt='Apt::Install-Recommends "false"' --include="$PACKAGES" \
    "$SUITE" "$work/tree.tar" "$(private_apt_root "$SUITE" deb)/sources.list"
  as_root bash "$0" --fill "$work"
}

if [ "${1:-}" = --fill ]; then
  fill "$2"
  exit
fi
refresh=
if [ "${1:-}" = --refresh ]; then
  refresh=yes
  shift
fi
format=${1:-raw}
case $format in raw | qcow2) ;; *) die "unknown format '$format': raw or qcow2" ;; esac
images=$XENNER_CACHE/images
mkdir -p "$images"

# The recipe is part of the name: another recipe is another disk.
name=$images/disk-$(sha256sum <"$0" | cut -c 1-16)
exec 9>"$images/disk.lock"
flock 9
if [ -n "$refresh" ]; then rm -f "$name".*; fi
if [ ! -e "$name.raw" ]; then
  work=$(mktemp -d)
  trap 'as_root rm -rf "$work"' EXIT
  step "$LOGS/disk.log" 'making a disk with Debian 12' make_raw "$work"
  cp --sparse=always "$work/disk.raw" "$name.raw.part"
  mv "$name.raw.part" "$name.raw"
fi
if [ ! -e "$name.$format" ]; then
  qemu-img convert -q -O "$format" "$name.raw" "$name.$format.part"
  mv "$name.$format.part" "$name.$format"
fi
printf '%s\n' "$name.$format"
