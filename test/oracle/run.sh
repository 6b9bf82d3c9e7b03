#!/usr/bin/env bash
# run.sh KERNEL: boots one PV kernel as dom0 on real Xen and prints what it wrote on the console, from its
# first "--- " line, then how Xen says that the domain ended: "[poweroff]", "[reboot]", "[crash]", ...
# XENNER_ORACLE_LOG=FILE keeps the whole serial console, Xen's own lines included.
set -euo pipefail

kernel=$1
here=$(dirname "$(readlink -f "$0")")
{ read -r xen && read -r qemu; } < <("$here/fetch.sh")
limit="${XENNER_ORACLE_SECONDS:-120}"
log=$(mktemp)
fifo_dir=$(mktemp -d)
mkfifo "$fifo_dir/serial"
qemu_pid=''
cleanup() {
  [ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null || true
  [ -z "${XENNER_ORACLE_LOG:-}" ] || cp "$log" "$XENNER_ORACLE_LOG"
  rm -rf "$fifo_dir" "$log"
}
trap cleanup EXIT

vcpus=1
case "${kernel##*/}" in smp-*) vcpus=2 ;; esac

# Xen says nothing of guests (guest_loglvl=none), so none of its lines falls between two of the kernel's.
xen_line="console=com1 com1=115200,8n1 dom0_mem=64M dom0_max_vcpus=$vcpus noreboot loglvl=warning"
xen_line="$xen_line guest_loglvl=${XENNER_ORACLE_GUEST_LOG:-none} serial_tx_buffer=1M"

timeout "$limit" "$qemu" \
  -accel tcg -cpu max -smp "$vcpus" -m 256 -display none -nodefaults -no-reboot -vga none \
  -kernel "$xen" -append "$xen_line" -initrd "$kernel" -serial stdio </dev/null \
  >"$fifo_dir/serial" 2>"$fifo_dir/stderr" &
qemu_pid=$!

# Reads until Xen reports the end of dom0, which it does for every way a domain can end; then QEMU is not needed.
ended=''
while IFS= read -r line || [ -n "$line" ]; do
  printf '%s\n' "$line"
  case "$line" in
  *"Hardware Dom0 halted"*) ended=poweroff ;;
  *"Hardware Dom0 shutdown: rebooting"*) ended=reboot ;;
  *"Hardware Dom0 shutdown: watchdog"*) ended=watchdog ;;
  *"Hardware Dom0 shutdown (unknown reason 2)"*) ended=suspend ;;
  *"Hardware Dom0 shutdown (unknown reason"*) ended=unknown ;;
  *"unsupported soft reset"*) ended=soft_reset ;;
  *"Hardware Dom0 crashed"*) ended=crash ;;
  *"Panic on CPU"*) ended=panic ;;
  esac
  [ -z "$ended" ] || break
done <"$fifo_dir/serial" >"$log"

tr -d '\r' <"$log" | sed -e '/^(XEN)/d' | sed -n '/^--- /,$p'
if [ -z "$ended" ]; then
  echo "[no end within $limit s]"
  cat "$fifo_dir/stderr" >&2
  exit 1
fi
echo "[$ended]"
