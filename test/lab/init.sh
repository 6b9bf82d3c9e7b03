#!/bin/sh
# The lab's /init: shows the host's files read-only under a layer in memory, loads KVM, and hands over to the agent.
# The file /lab.conf beside it sets MODULES, the folder of the kernel's modules as the host names it.
export PATH=/bin
# shellcheck source=/dev/null
. /lab.conf

fail() {
  echo "lab: $1 failed"
  poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
  insmod "/modules/$module" || fail "insmod $module"
done </modules/order

# cache=loose: nothing inside writes to it, and the agent drops the cache before every command.
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host || fail 'the share of the host'
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work,xino=off root /root || fail overlay

for folder in proc sys dev run tmp lib/modules; do mkdir -p "/root/$folder"; done
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup || fail cgroup2
mount -t debugfs debugfs /root/sys/kernel/debug
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm /root/dev/hugepages
mount -t devpts -o ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
mount -t hugetlbfs hugetlbfs /root/dev/hugepages
mount -t tmpfs -o mode=755 run /root/run

# Loading modules by hand or by the kernel's own wish.
ln -sfn "$MODULES" "/root/lib/modules/$(uname -r)"
mkdir -p /root/run/lab/bin
cp /bin/busybox /root/run/lab/bin/busybox
for name in modprobe insmod rmmod lsmod modinfo; do ln -s busybox "/root/run/lab/bin/$name"; done
echo /run/lab/bin/modprobe >/proc/sys/kernel/modprobe

# The nodes of drivers that the kernel loads when somebody opens them.
mkdir -p /root/dev/net
while read -r name minor; do
  [ -e "/root/dev/$name" ] || mknod "/root/dev/$name" c 10 "$minor"
done <<NODES
net/tun 200
fuse 229
loop-control 237
vhost-net 238
NODES

# devtmpfs makes the ports, but only udev would make their names.
mkdir -p /root/dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  ln -s "../${port##*/}" "/root/dev/virtio-ports/$(cat "$port/name")"
done
# The agent does this before every command: no line in the kernel's log each time.
echo 4 >/proc/sys/vm/drop_caches
ip link set lo up
hostname lab

cp /agent /root/run/lab/agent
exec switch_root /root /run/lab/agent
