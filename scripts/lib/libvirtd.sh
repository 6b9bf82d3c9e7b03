#!/usr/bin/env bash
# Debian's libvirtd with nothing but its drivers of storage and interfaces, in a mount namespace of its own, where it finds no pools
# of the host's and leaves none: for root. Its socket is FOLDER/libvirt-sock: virsh -c storage:///system?socket=FOLDER/libvirt-sock
# (or interface:///system?...)
# usage: libvirtd.sh FOLDER      ends with a signal
set -euo pipefail

if [ "${2:-}" != inside ]; then
  mkdir -p "$1/drivers"
  exec unshare --mount bash "$0" "$1" inside
fi
# Of this network namespace's interfaces; a container may not have it, and storage needs none.
mount -t sysfs none /sys || true
for folder in /etc/libvirt /var/lib/libvirt /run/libvirt /var/cache/libvirt; do
  mkdir -p "$folder"
  mount -t tmpfs none "$folder"
done
# Other drivers, which need more of the host than is there, would keep it from starting.
drivers=$(dirname "$(find /usr/lib -name libvirt_driver_storage.so -print -quit)")
cp "$drivers"/libvirt_driver_{storage,interface}.so "$1/drivers"
mount --bind "$1/drivers" "$drivers"
printf '%s\n' "unix_sock_dir = \"$1\"" 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' >"$1/conf"
exec libvirtd -f "$1/conf" -p "$1/pid"
