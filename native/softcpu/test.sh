#!/usr/bin/env bash
# Builds the soft CPU's tests and runs them; arguments are prefixes of test names.
#
#   test.sh [--library DIR] [PREFIX]...    DIR: what build.sh printed, else it is asked
#
# Exit status 3: the soft CPU's source cannot be had.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
library=
if [ "${1:-}" = --library ]; then
  library=$2
  shift 2
fi
[ -n "$library" ] || library=$(bash "$HERE/build.sh")
program=$(mktemp)
trap 'rm -f "$program"' EXIT
nice "${CC:-cc}" -O1 -g -Wall -Wextra -Wno-unused-parameter -I"$library" "$HERE"/test/*.c "$HERE"/test/*.S \
  "$library/libsoftcpu.a" -lm -pthread -o "$program"
# Built without sanitizers: the runtime of scripts/sanitize.sh would only keep what is freed, which looks like a leak.
env -u LD_PRELOAD "$program" "$@"
