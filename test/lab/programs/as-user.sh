#!/usr/bin/env bash
# Runs a command as a user who may use /dev/kvm and nothing else, with a network that passt can stand on: as-user.sh FOLDER COMMAND...
# FOLDER becomes that user's.
set -euo pipefail

folder=$1
shift
chmod 666 /dev/kvm
# By name or by mode, as the share has it; and a way there.
chown -R nobody:nogroup "$folder"
chmod -R a+rwX "$folder"
way=$folder
while [ "$way" != / ]; do
  way=$(dirname "$way")
  chmod o+x "$way"
done
if ! ip link show xenner-user &>/dev/null; then
  ip tuntap add xenner-user mode tap
  ip address add 10.200.0.2/24 dev xenner-user
  ip link set xenner-user up
  ip route add default via 10.200.0.1
fi
exec setpriv --reuid=nobody --regid=nogroup --clear-groups \
  env HOME="$folder" XDG_RUNTIME_DIR="$folder" TMPDIR="$folder" "$@"
