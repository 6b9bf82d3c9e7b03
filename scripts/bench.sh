#!/usr/bin/env bash
# Measures xenner beside QEMU's software CPU in one run. Anything else that runs on the machine meanwhile spoils it.
# usage: bench.sh [--quick] [--pairs N] [boot] [guest-work] [hypercall] [launcher] [qcow2] [pool-refresh] [restore] [blk] [net]
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/bench.sh"
# Node.js parses these certificates at every start, as long as all the rest of its start takes.
unset NODE_EXTRA_CA_CERTS

bash "$ROOT/scripts/setup.sh" bench
out=$ROOT/build/bench
mkdir -p "$out"
kernel=$(bash "$ROOT/images/kernel.sh" bookworm)
gcc -O2 -static -Wall -Wextra -o "$out/guest-work" "$ROOT/bench/guest-work.c"
gcc -O2 -Wall -Wextra -o "$out/tsc-khz" "$ROOT/bench/tsc-khz.c"
gcc -O2 -static -Wall -Wextra -o "$out/io-work" "$ROOT/bench/io-work.c"
drivers=$(bash "$ROOT/images/modules.sh" bookworm)
ramdisk=$(bash "$ROOT/images/initramfs.sh" --add "$out/guest-work:/bin/guest-work" --add "$out/io-work:/bin/io-work" \
  --add "$drivers:/lib/drivers" -o "$out/initramfs.cpio")
step "$LOGS/bench-guests.log" "building the bench's kernels" \
  make -C "$ROOT/test/guest" OUT="$out/guest" names='bench-hypercall bench-restore'

bench_options "$@"
node "$ROOT/bench/main.mjs" "${options[@]}" "$kernel" "$ramdisk" "$out/guest" \
  "$("$out/tsc-khz")" "${names[@]}"
