#!/usr/bin/env bash
# Builds what has changed: the soft CPU, the monitor, the addon, TypeScript. `build.sh addon ts` builds only those.
# Each step keeps a hash of its inputs beside its output; the whole output of a step goes to build/log/STEP.log.
set -euo pipefail
cd "$(dirname "$0")/.."

STEPS=("$@")
[ ${#STEPS[@]} -gt 0 ] || STEPS=(softcpu monitor addon ts)
SOFTCPU=$PWD/build/softcpu/libsoftcpu.a
mkdir -p build/log build/stamp

# Hash of the names and contents of files; also of the words that follow `--`.
hash_of() {
  local files=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1") && shift; done
  { find "${files[@]}" -type f -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0r sha256sum; echo "$*"; } | sha256sum
}

fresh() { [ -e "$3" ] && [ "$(cat "build/stamp/$1" 2>/dev/null)" = "$2" ]; }

# step NAME OUTPUT HASH COMMAND...: runs the command unless OUTPUT was made from the same HASH.
# Returns 3 when the soft CPU's build says so: its source cannot be had here.
step() {
  local name=$1 output=$2 hash=$3 log=build/log/$1.log start=$SECONDS status=0
  shift 3
  fresh "$name" "$hash" "$output" && return 0
  printf 'build: %s ...\n' "$name"
  "$@" >"$log" 2>&1 || status=$?
  if [ "$name $status" = 'softcpu 3' ]; then return 3; fi
  if [ $status -ne 0 ]; then
    printf 'build: %s failed: %s (%s)\n' "$name" "$(first_error "$log")" "$log" >&2
    return 1
  fi
  printf '%s' "$hash" >"build/stamp/$name"
  printf 'build: %s done in %d s\n' "$name" $((SECONDS - start))
}

first_error() { grep -m1 -iE 'error|fatal|missing' "$1" || tail -n 1 "$1"; }

build_softcpu() {
  [ -f native/softcpu/build.sh ] || return 0
  local status=0
  step softcpu "$SOFTCPU" "$(hash_of native/softcpu)" bash native/softcpu/build.sh "${SOFTCPU%/*}" || status=$?
  [ $status -ne 3 ] && return $status
  rm -f "$SOFTCPU"
  printf 'build: softcpu: its source is not available: building without the soft CPU (build/log/softcpu.log)\n'
}

build_monitor() {
  [ -f native/monitor/Makefile ] || return 0
  step monitor build/Release/monitor.bin "$(hash_of native/monitor)" \
    make -C native/monitor OUT="$PWD/build/Release" OBJ="$PWD/build/monitor"
}

build_addon() {
  local softcpu=
  [ -f "$SOFTCPU" ] && softcpu=$SOFTCPU
  step addon build/Release/xenner.node \
    "$(hash_of native/*.cc native/*.h native/*.S native/CMakeLists.txt package-lock.json "$SOFTCPU" \
      native/softcpu/softcpu.h -- "$(node --version)")" compile_addon "$softcpu"
}

# Configuring costs seconds: only when what it looked at has changed.
compile_addon() {
  local configured
  configured=$(hash_of native/CMakeLists.txt native/package.json package-lock.json -- "$1" "$(node --version)")
  if ! fresh configure "$configured" build/CMakeCache.txt; then
    rm -f build/CMakeCache.txt
    npx --no-install cmake-js configure -d native -O build --CDXENNER_SOFTCPU="$1" || return 1
    printf '%s' "$configured" >build/stamp/configure
  fi
  nice cmake --build build --parallel 2 || return 1
}

build_ts() {
  step ts dist "$(hash_of src tsconfig.json package-lock.json)" compile_ts
}

# From nothing: an output whose source is gone must not stay.
compile_ts() { rm -rf dist && nice npx --no-install tsc -p . && chmod +x dist/cli/main.js; }

for name in "${STEPS[@]}"; do
  case $name in
    softcpu | monitor | addon | ts) "build_$name" ;;
    *) printf 'build.sh: unknown step %s; steps: softcpu monitor addon ts\n' "$name" >&2 && exit 2 ;;
  esac
done
