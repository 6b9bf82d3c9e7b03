#!/usr/bin/env bash
# Runs a command where there is a real KVM: in QEMU's emulation of an AMD processor with SVM, under Debian's kernel 6.12.
# It sees this machine's files, in memory it may change them, and it has this environment and working folder.
# usage: lab.sh [OPTION...] COMMAND...    without a command, and on a terminal: a shell
#        lab.sh --serve DIR [OPTION...]   boots a lab, prints "ready", and stays until it is killed
#        lab.sh --in DIR [--timeout S] COMMAND...   runs a command in a served lab; up to four at once
#        lab.sh --check                   status 0 if this machine can have a lab, else 1 and why not
#   --timeout S     ends the command, not counting the boot
#   --cpus N        2 unless told; --memory MIB 3072; --hugepages N  pages of 2 MiB, 0; --nodes N  NUMA nodes, 1
#   --out DIR       a folder that is writable inside, at the same path
# Its exit status is the command's, or 124 after a time-out, 125 when the lab does not boot or dies.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

exec node "$ROOT/test/lab/main.mjs" "$@"
