#!/usr/bin/env bash
# Runs a command in the lab with what storage pools are made of: three disks of 64 MiB, each on a SCSI host of its own, udev, device
# mapper, an iSCSI target, and libvirtd beside it: storage.sh COMMAND...    LIBVIRT_SOCKET is libvirtd's socket.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
disks=/sys/bus/pseudo/drivers/scsi_debug
place=$(mktemp -d)

clean_up() {
  local status=$?
  set +e
  kill "$libvirtd" ${iscsid:+"$iscsid"} ${tgtd:+"$tgtd"}
  vgchange --quiet --activate n &>/dev/null
  echo -3 >$disks/add_host
  rmmod scsi_debug
  udevadm control --exit
  rm -rf "$place"
  exit "$status"
}
# It takes longest.
bash "$here/../../../scripts/lib/libvirtd.sh" "$place/libvirt" &>"$place/log" &
libvirtd=$!
trap clean_up EXIT
for module in loop sd_mod ext4 dm_mod dm_snapshot dm_zero iscsi_tcp; do modprobe "$module"; done
/lib/systemd/systemd-udevd --daemon
mkdir -p /run/lock/iscsi
# It ends its whole process group when it ends.
setsid iscsid --foreground &>/dev/null &
iscsid=$!
setsid tgtd --foreground &>/dev/null &
tgtd=$!
# The first of its hosts would come before they can be told to have a store each.
modprobe scsi_debug dev_size_mb=64 add_host=0
echo 1 >$disks/per_host_store
echo 1 >$disks/max_luns
for _ in 1 2 3; do echo 1 >$disks/add_host; done
udevadm settle
export LIBVIRT_SOCKET=$place/libvirt/libvirt-sock
until virsh -q -c "storage:///system?socket=$LIBVIRT_SOCKET" pool-list &>/dev/null; do
  kill -0 "$libvirtd" || { cat "$place/log" >&2 && exit 1; }
  sleep 0.5
done
until tgtadm --op show --mode system &>/dev/null; do
  kill -0 "$tgtd"
  sleep 0.5
done
"$@"
