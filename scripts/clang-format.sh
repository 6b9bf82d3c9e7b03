#!/usr/bin/env bash
# clang-format over all C and C++: `-i` rewrites, `--dry-run -Werror` checks.
set -euo pipefail
cd "$(dirname "$0")/.."
find native test \( -name '*.c' -o -name '*.cc' -o -name '*.h' \) -print0 | xargs -0r clang-format "$@"
