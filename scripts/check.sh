#!/usr/bin/env bash
# Everything that can be said about the sources without running them. Set-up must have been done.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
cd "$ROOT"

bin=node_modules/.bin
step "$LOGS/biome.log" 'biome' "$bin/biome" check .
step "$LOGS/tsc.log" 'tsc' "$bin/tsc" -p test/tsconfig.json
step "$LOGS/clang-format.log" 'clang-format' bash scripts/clang-format.sh --dry-run -Werror
if command -v shellcheck >/dev/null; then
  step "$LOGS/shellcheck.log" 'shellcheck' shellcheck scripts/*.sh scripts/lib/*.sh images/*.sh images/init test/lab/*.sh test/lab/peers/*.sh test/oracle/*.sh .ci/run
else
  say 'shellcheck: skipped: not installed'
fi
