#!/usr/bin/env bash
# Xen's own xl, to compare with: unpacked from Debian's package of the same version as libxenlight here, and never installed. With a
# shim in front of it, it reads configurations without Xen.
# usage: xl.sh   prints the folder with `xl` and `shim.so`
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$ROOT/scripts/lib/private-apt.sh"

library=$(find /usr/lib/x86_64-linux-gnu -name 'libxenlight.so.4.*' 2>/dev/null | sort -V | tail -n 1)
[ -n "$library" ] || die 'no libxenlight: libxen-dev brings it'
version=$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"${library##*.so.}")
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
folder=$XENNER_CACHE/xl-$version-$codename
shim=$ROOT/test/unit/mgmt/domain/xl-shim.c

if [ ! -x "$folder/xl" ]; then
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' EXIT
  package=$(private_apt_download "$codename" "xen-utils-$version" "$fresh")
  dpkg -x "$package" "$fresh/tree"
  mkdir -p "$folder"
  cp "$fresh/tree/usr/lib/xen-$version/bin/xl" "$folder/xl.new"
  mv "$folder/xl.new" "$folder/xl"
fi
if [ ! -e "$folder/shim.so" ] || [ "$shim" -nt "$folder/shim.so" ]; then
  built=$(mktemp "$folder/shim.XXXXXX")
  cc -shared -fPIC -Wall -o "$built" "$shim"
  mv "$built" "$folder/shim.so"
fi
printf '%s\n' "$folder"
