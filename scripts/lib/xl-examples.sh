#!/usr/bin/env bash
# The configurations that Debian's xen-utils-common brings as examples of xl's, unpacked and never installed. Prints their folder.
# usage: xl-examples.sh
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$ROOT/scripts/lib/private-apt.sh"

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
folder=$XENNER_CACHE/xl-examples-$codename
exec 9>"$folder.lock"
flock 9
if [ ! -d "$folder" ]; then
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' EXIT
  package=$(private_apt_download "$codename" xen-utils-common "$fresh")
  dpkg -x "$package" "$fresh/tree"
  rm -rf "$folder.part" && mkdir "$folder.part"
  cp "$fresh"/tree/etc/xen/xlexample.* "$folder.part"
  mv "$folder.part" "$folder"
fi
printf '%s\n' "$folder"
