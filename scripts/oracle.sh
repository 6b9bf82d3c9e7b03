#!/usr/bin/env bash
# Runs our own PV test kernels as dom0 on real Xen (in QEMU) and compares what they print with test/guest/*/expected.txt.
#   scripts/oracle.sh [--update] [--print] [NAME...]     --update rewrites expected.txt, --print shows the console
set -euo pipefail
cd "$(dirname "$0")/.."

update=''
show=''
names=()
for arg in "$@"; do
  case "$arg" in
  --update) update=1 ;;
  --print) show=1 ;;
  -*)
    echo "usage: $0 [--update] [--print] [NAME...]" >&2
    exit 2
    ;;
  *) names+=("$arg") ;;
  esac
done
if [ ${#names[@]} -eq 0 ]; then
  for main in test/guest/*/main.c; do
    name=$(basename "$(dirname "$main")")
    # A bench kernel prints times: no golden.
    [[ $name == bench-* ]] || names+=("$name")
  done
fi
for name in "${names[@]}"; do
  [ -f "test/guest/$name/main.c" ] || {
    echo "oracle: no test kernel test/guest/$name" >&2
    exit 2
  }
done

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
make -s -C test/guest OUT="$out" names="${names[*]}"
test/oracle/fetch.sh >/dev/null

one() {
  test/oracle/run.sh "$2/$1.elf" >"$2/$1.txt" || true
}
export -f one
# Two at a time: each is one busy CPU.
# shellcheck disable=SC2016
printf '%s\n' "${names[@]}" | xargs -P 2 -I{} bash -c 'one "$1" "$2"' _ {} "$out"

passed=0 failed=0
for name in "${names[@]}"; do
  expected="test/guest/$name/expected.txt"
  [ -z "$show" ] || cat "$out/$name.txt"
  if ! grep -q '^Test result: SUCCESS$' "$out/$name.txt"; then
    [ -n "$show" ] || cat "$out/$name.txt"
    echo "FAIL $name: no SUCCESS on real Xen"
    failed=$((failed + 1))
    continue
  fi
  [ -z "$update" ] || cp "$out/$name.txt" "$expected"
  if diff -u "$expected" "$out/$name.txt"; then
    echo "ok   $name"
    passed=$((passed + 1))
  else
    echo "FAIL $name: real Xen says otherwise than $expected"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
