# shellcheck shell=bash
# What the peers share: other ways to boot the same kernel on KVM, to be compared with. Each is used in the lab as
#   PEER.sh [--print] [--cpus N] [--memory MIB] KERNEL INITRD CMDLINE
# and puts the guest's console on standard input and output; it ends when the guest powers off. CMDLINE lacks only what
# names the console and ends QEMU after a panic. Whatever a peer needs is fetched outside, by `PEER.sh --fetch`; --print
# prints the command instead, a word a line, for whoever wants to time nothing else. To be sourced: sets QEMU, CPUS,
# MEMORY_MIB, KERNEL, INITRD, CMDLINE; calls peer_fetch, if there is one, when the cache may lack something.

. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/lib/common.sh"
. "$ROOT/scripts/lib/private-apt.sh"
. "$ROOT/scripts/lib/qemu10.sh"

CPUS=1
MEMORY_MIB=512
# shellcheck disable=SC2034 # for the scripts that source this file
QEMU=$(qemu10_fetch)
if declare -F peer_fetch >/dev/null; then peer_fetch; fi
if [ "${1:-}" = --fetch ]; then exit 0; fi
PRINT=0
if [ "${1:-}" = --print ]; then
  PRINT=1
  shift
fi
while [ $# -gt 3 ]; do
  case $1 in
    --cpus) CPUS=$2 ;;
    --memory) MEMORY_MIB=$2 ;;
    *) break ;;
  esac
  shift 2
done
[ $# = 3 ] || die 'usage: [--cpus N] [--memory MIB] KERNEL INITRD CMDLINE'
# shellcheck disable=SC2034 # for the scripts that source this file
KERNEL=$1 INITRD=$2 CMDLINE=$3
# shellcheck disable=SC2034
BARE=(-nodefaults -no-user-config -display none -no-reboot -monitor none -smp "$CPUS" -m "$MEMORY_MIB")
[ "$PRINT" = 1 ] || [ -w /dev/kvm ] || die 'no /dev/kvm: a peer is run in the lab'

peer_run() {
  if [ "$PRINT" = 0 ]; then exec "$@"; fi
  printf '%s\n' "$@"
}
