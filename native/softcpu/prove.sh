#!/usr/bin/env bash
# Shows what each patch of QEMU's defects is for: builds the soft CPU without it and runs the tests. A patch that no
# test misses is an error, except those that `speed` is written about in their header, which no test can see.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

# The first test that fails, or how the program ended.
outcome() {
  local library=$1 code=0
  timeout 120 bash "$HERE/test.sh" --library "$library" >"$log" 2>&1 || code=$?
  if [ $code = 0 ]; then
    printf 'all tests pass'
  elif grep -q '^FAIL' "$log"; then
    grep '^FAIL' "$log" | sed -E 's/^FAIL //; s/ \([0-9]+ ms\)$//' | paste -sd ';' | sed 's/;/; /g'
  else
    printf 'ends with status %s' "$code"
  fi
}

printf '%-32s %s\n' 'without' 'what fails'
printf '%-32s %s\n' '(nothing)' "$(outcome "$(bash "$HERE/build.sh")")"
for patch in "$HERE"/patches/*.patch; do
  name=$(basename "$patch" .patch)
  if grep -q '^Speed:' "$patch"; then
    printf '%-32s %s\n' "$name" 'speed: see its header'
    continue
  fi
  library=$(bash "$HERE/build.sh" --without "${name%%-*}" 2>"$log") || {
    printf '%-32s %s\n' "$name" 'does not build'
    continue
  }
  result=$(outcome "$library")
  printf '%-32s %s\n' "$name" "$result"
  rm -rf "$library"
  if [ "$result" = 'all tests pass' ]; then status=1; fi
done
exit $status
