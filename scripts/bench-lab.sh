#!/usr/bin/env bash
# Measures xenner on a real KVM, in the lab, beside QEMU's microvm and Xen's shim. Anything else that runs on the machine
# meanwhile spoils it.
# usage: bench-lab.sh [--quick] [--pairs N] [NAME...]   names: see bench/lab/main.mjs
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/bench.sh"

bash "$ROOT/scripts/setup.sh" bench
out=$ROOT/build/bench
mkdir -p "$out"
kernel=$(bash "$ROOT/images/kernel.sh" backports)
for peer in microvm xen-shim; do bash "$ROOT/test/lab/peers/$peer.sh" --fetch; done
gcc -O2 -static -Wall -Wextra -o "$out/guest-work" "$ROOT/bench/guest-work.c"
gcc -O2 -static -Wall -Wextra -o "$out/io-work" "$ROOT/bench/io-work.c"
drivers=$(bash "$ROOT/images/modules.sh" backports)
ramdisk=$(bash "$ROOT/images/initramfs.sh" --add "$out/guest-work:/bin/guest-work" --add "$out/io-work:/bin/io-work" \
  --add "$drivers:/lib/drivers" -o "$out/initramfs-lab.cpio")
make -s -C "$ROOT/test/guest" OUT="$out/kernels" names=bench-restore >/dev/null

bench_options "$@"
node "$ROOT/bench/lab/main.mjs" "${options[@]}" "$kernel" "$ramdisk" "$out/kernels/bench-restore.elf" "${names[@]}"
