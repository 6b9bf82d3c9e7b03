#!/usr/bin/env bash
# Kills a launcher with a guest of two vCPUs, and tells what is left of it: killed-launcher.sh KERNEL
# KVM counts its machines, so one that somebody still held would show.
set -euo pipefail

temporary=$(mktemp -d)
mkdir /tmp/xenner-debugfs
mount -t debugfs none /tmp/xenner-debugfs
trap 'umount /tmp/xenner-debugfs; rmdir /tmp/xenner-debugfs; rm -rf "$temporary"' EXIT
# A folder a machine, as long as it lives.
count() { find /tmp/xenner-debugfs/kvm -mindepth 1 -maxdepth 1 -type d | wc -l; }
before=$(count)
machines() { echo $(($(count) - before)); }

mkdir "$temporary/tmp"
mkfifo "$temporary/console"
# A session of its own, so that nothing that it starts can hide.
TMPDIR=$temporary/tmp setsid node dist/cli/main.js run --engine kvm --vcpus 2 --memory 64 --kernel "$1" \
  >"$temporary/console" </dev/null &
launcher=$!
exec 3<"$temporary/console"
grep -qm 1 'tick 5' <&3
echo "machines: $(machines)"
kill -9 "$launcher"
wait "$launcher" 2>/dev/null || [ $? = 137 ] && echo killed
echo "processes: $(pgrep -cs "$launcher" || true)"
echo "machines: $(machines)"
echo "files: $(find "$temporary/tmp" -mindepth 1 | wc -l)"
