#!/usr/bin/env bash
# Debian's libvirtd with nothing but these drivers (default: storage), in a mount namespace of its own, where it finds no pools of the
# host's and leaves none: for root. Its socket is FOLDER/libvirt-sock: virsh -c storage:///system?socket=FOLDER/libvirt-sock
# With LIBVIRTD_SYSTEM, a folder, the host's CPUs and NUMA nodes are what is there, instead of in /sys/devices/system.
# usage: libvirtd.sh FOLDER [DRIVER...]      ends with a signal
set -euo pipefail

if [ "$1" != --inside ]; then
  mkdir -p "$1/drivers"
  exec unshare --mount bash "$0" --inside "$@"
fi
shift
home=$1
shift
# Of this network namespace's interfaces; a container may not have it.
if [[ " $* " == *" interface "* ]]; then mount -t sysfs none /sys || true; fi
for folder in /etc/libvirt /var/lib/libvirt /run/libvirt /var/cache/libvirt; do
  mkdir -p "$folder"
  mount -t tmpfs none "$folder"
done
# The QEMU driver asks for its user by name, whoever it runs guests as.
printf 'user = "root"\ngroup = "root"\n' >/etc/libvirt/qemu.conf
user=(passwd:x:64055:64055::/:/bin/false group:x:64055:)
for each in "${user[@]}"; do
  file=${each%%:*}
  if grep -q ^libvirt-qemu: "/etc/$file"; then continue; fi
  { cat "/etc/$file" && echo "libvirt-qemu:${each#*:}"; } >"$home/$file"
  mount --bind "$home/$file" "/etc/$file"
done
if [ -n "${LIBVIRTD_SYSTEM:-}" ]; then mount --bind "$LIBVIRTD_SYSTEM" /sys/devices/system; fi
# Other drivers, which need more of the host than is there, would keep it from starting.
drivers=$(dirname "$(find /usr/lib -name libvirt_driver_storage.so -print -quit)")
for driver in "${@:-storage}"; do cp "$drivers/libvirt_driver_$driver.so" "$home/drivers"; done
mount --bind "$home/drivers" "$drivers"
printf '%s\n' "unix_sock_dir = \"$home\"" 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' >"$home/conf"
# Each QEMU that it found it would ask for all that it can do, which takes some seconds.
if [ "$*" = qemu ]; then PATH=$(dirname "$(command -v libvirtd)"); fi
exec libvirtd -f "$home/conf" -p "$home/pid"
