#!/usr/bin/env bash
# The tests of the addon on a build that checks every access (AddressSanitizer, UndefinedBehaviorSanitizer), below
# build/sanitize. usage: sanitize.sh [TEST...]   without TEST: test/native, test/kvm and test/net
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

bash scripts/build.sh
OUT=build/sanitize
mkdir -p "$OUT/Release"

make_addon() {
  local softcpu
  softcpu=$(cat build/softcpu.path)
  [ -e "$OUT/CMakeCache.txt" ] ||
    node_modules/.bin/cmake-js configure -d native -O "$OUT" --CDXENNER_SANITIZE=ON \
      --CDXENNER_SOFTCPU="${softcpu:+$softcpu/libsoftcpu.a}" || return
  nice cmake --build "$OUT" --parallel "$(nproc)"
}
step "$LOGS/build-sanitize.log" 'building the addon with sanitizers' make_addon
cp build/Release/monitor.bin "$OUT/Release/"

# Other people's programs are not what is to be checked, and one image of qemu-img's takes minutes with the runtime.
mkdir -p "$OUT/bin"
for program in qemu-img qemu-io qemu-nbd qemu-system-x86_64; do
  path=$(command -v $program) || continue
  printf '#!/bin/sh\nunset LD_PRELOAD\nexec %s "$@"\n' "$path" >"$OUT/bin/$program"
  chmod +x "$OUT/bin/$program"
done

if [ $# = 0 ]; then set -- test/native test/kvm test/net; fi
# Node.js itself is not built so: the runtime goes in front of it. It frees little at its end, so leaks say nothing.
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=0 UBSAN_OPTIONS=print_stacktrace=1 \
  XENNER_BUILT="$ROOT/$OUT/Release" PATH="$ROOT/$OUT/bin:$PATH" \
  exec node_modules/.bin/vitest run "$@"
