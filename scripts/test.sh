#!/usr/bin/env bash
# Set-up, static checks and all tests. With arguments: only the tests that vitest selects by them, without the checks.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

bash scripts/setup.sh test
if [ $# = 0 ]; then bash scripts/check.sh; fi
exec node_modules/.bin/vitest run --reporter=default --reporter=./test/lib/summary-reporter.ts "$@"
