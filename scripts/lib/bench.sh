# shellcheck shell=bash
# What the scripts of the benches share. To be sourced.

# Sets options, for the bench itself, and names: [--quick] [--pairs N] [NAME...]
# shellcheck disable=SC2034 # for the scripts that source this file
bench_options() {
  options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --quick) options+=("$1") ;;
      --pairs) options+=("$1" "${2:?--pairs needs a number}") && shift ;;
      *) break ;;
    esac
    shift
  done
  names=("$@")
}
