#!/usr/bin/env bash
# Set-up, static checks and all tests. With arguments: only the tests that vitest selects by them, without the checks.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

bash scripts/setup.sh test
# Tests that miss a kernel are skipped, with the reason that is said here.
for kernel in bullseye bookworm bookworm-cloud backports; do bash images/kernel.sh "$kernel" >/dev/null || true; done
# Once, and not within the time of the test that uses it first.
if [ $# = 0 ]; then bash images/disk.sh raw >/dev/null || true; fi
if [ $# = 0 ]; then bash scripts/check.sh; fi
exec node_modules/.bin/vitest run --reporter=default --reporter=./test/lib/summary-reporter.ts "$@"
