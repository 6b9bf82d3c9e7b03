#!/usr/bin/env bash
# Builds what has changed: the soft CPU, the monitor, the addon, TypeScript. `build.sh addon ts` builds only those.
# Nothing to do: well under 1 s, since every part keeps a hash of what it was made from in build/stamp.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

STAMPS=build/stamp
# One line: the directory that holds the soft CPU's library, or nothing when its source cannot be had.
SOFTCPU_PATH=build/softcpu.path

# A hash of the names and contents of files and of what is below directories, and of the words behind `--`.
hash_of() {
  local files=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if [ -e "$1" ]; then files+=("$1"); fi
    shift
  done
  { find "${files[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum; echo "$*"; } | sha256sum
}

is_fresh() { [ -e "$3" ] && [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s' "$2" >"$STAMPS/$1"; }

# part NAME OUTPUT HASH COMMAND...: makes OUTPUT unless it was made from the same HASH.
part() {
  local name=$1 output=$2 hash=$3
  shift 3
  if is_fresh "$name" "$hash" "$output"; then return 0; fi
  rm -f "$STAMPS/$name"
  step "$LOGS/build-$name.log" "building $name" "$@"
  stamp "$name" "$hash"
}

softcpu_library() {
  local directory
  directory=$(cat "$SOFTCPU_PATH" 2>/dev/null || true)
  if [ -n "$directory" ]; then printf '%s/libsoftcpu.a' "$directory"; fi
}

build_softcpu() {
  local library
  library=$(softcpu_library)
  part softcpu "${library:-$SOFTCPU_PATH}" "$(hash_of native/softcpu)" make_softcpu
  if [ ! -s "$SOFTCPU_PATH" ]; then say "no soft CPU: its source cannot be had (see $LOGS/build-softcpu.log)"; fi
}

# Status 3: the source cannot be had. Everything else is of use without it.
make_softcpu() {
  local status=0
  bash native/softcpu/build.sh >"$SOFTCPU_PATH" || status=$?
  if [ $status != 0 ]; then : >"$SOFTCPU_PATH"; fi
  [ $status = 3 ] || return $status
}

build_monitor() {
  part monitor build/Release/monitor.bin "$(hash_of native/monitor)" \
    make -C native/monitor OUT="$ROOT/build/Release" OBJ="$ROOT/build/monitor"
}

build_addon() {
  local library
  library=$(softcpu_library)
  part addon build/Release/xenner.node \
    "$(hash_of native/*.* native/softcpu/softcpu.h package-lock.json ${library:+"$library"} -- "$(node --version)")" \
    make_addon "$library"
}

# Configuring takes seconds: only when what it looked at has changed.
make_addon() {
  local configured
  configured=$(hash_of native/CMakeLists.txt native/package.json package-lock.json -- "$1" "$(node --version)")
  if ! is_fresh configure "$configured" build/CMakeCache.txt; then
    rm -f build/CMakeCache.txt
    node_modules/.bin/cmake-js configure -d native -O build --CDXENNER_SOFTCPU="$1" || return
    stamp configure "$configured"
  fi
  nice cmake --build build --parallel "$(nproc)"
}

build_ts() {
  part ts dist/cli/main.js "$(hash_of src tsconfig.json rolldown.config.js package-lock.json \
    scripts/lib/compile-program.mjs -- "$(node --version)")" make_ts
}

# From nothing: what was made of a source that is gone must not stay.
make_ts() {
  rm -rf dist
  nice node_modules/.bin/tsc -p . && nice node_modules/.bin/rolldown -c --logLevel warn || return
  echo '{ "type": "commonjs" }' >dist/cli/package.json
  chmod +x dist/cli/main.js
  node scripts/lib/compile-program.mjs dist/cli/program.js dist/cli/guest-program.js \
    dist/domain-program.js dist/worker-program.js
}

mkdir -p "$STAMPS" build/Release
if [ $# = 0 ]; then set -- softcpu monitor addon ts; fi
for name in "$@"; do
  case $name in
    softcpu | monitor | addon | ts) "build_$name" ;;
    *) die "unknown part '$name': softcpu, monitor, addon or ts" ;;
  esac
done
