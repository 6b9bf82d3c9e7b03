# shellcheck shell=bash
# What every script here shares: the project's root, messages, and steps whose output goes to a log. To be sourced.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
XENNER_CACHE=${XENNER_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/xenner}
# shellcheck disable=SC2034 # for the scripts that source this file
LOGS=$ROOT/build/log
PROGRAM=$(basename "$0" .sh)

say() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# step LOG LABEL COMMAND...: runs a command quietly; its output is in LOG, and the end of it is shown if it fails.
step() {
  local log=$1 label=$2 start=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  printf '%s: %s ... ' "$PROGRAM" "$label" >&2
  if "$@" >"$log" 2>&1 </dev/null; then
    printf 'done (%d s)\n' $((SECONDS - start)) >&2
  else
    printf 'failed\n' >&2
    tail -n 20 "$log" >&2
    die "$label failed; all of its output is in $log"
  fi
}
