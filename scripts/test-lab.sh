#!/usr/bin/env bash
# The tests that need a real KVM, in the lab. With arguments: only those that vitest selects by them. A busy machine may
# make something time out: then, and only then, everything runs once more.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

bash scripts/setup.sh test
# Offline, tests that miss something are skipped, or say what it is.
for peer in microvm xen-shim; do bash "test/lab/peers/$peer.sh" --fetch || true; done
bash images/kernel.sh backports >/dev/null || true

timeouts=$(mktemp)
trap 'rm -f "$timeouts"' EXIT
run() {
  XENNER_LAB_TIMEOUTS=$timeouts node_modules/.bin/vitest run --config test/lab/vitest.config.ts --root . \
    --reporter=default --reporter=./test/lib/summary-reporter.ts "$@"
}

status=0
run "$@" || status=$?
if [ "$status" != 0 ] && [ -s "$timeouts" ]; then
  say "timed out: $(sort -u "$timeouts" | paste -sd';'). Running once more."
  status=0
  run "$@" || status=$?
fi
exit "$status"
