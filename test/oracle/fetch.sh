#!/usr/bin/env bash
# Puts real Xen and a QEMU that emulates a machine faithfully under one folder of the cache, and prints that folder.
#
# Xen 4.17 comes from bookworm, QEMU 10 from bookworm-backports (QEMU 7.2 gives wrong error codes for `int n` in long
# mode). Neither is installed: the packages are only unpacked, with those of QEMU's libraries that the machine lacks.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../scripts/lib/private-apt.sh
. "$here/../../scripts/lib/private-apt.sh"

cache="$XENNER_CACHE/oracle"
root="$cache/root"
debs="$cache/debs"
# Of this recipe: whoever changes the packages below gets a new unpacking.
stamp="$cache/$(sha256sum <"${BASH_SOURCE[0]}" | cut -c 1-16)"

if [ -f "$stamp" ]; then
  echo "$cache"
  exit 0
fi

fail() {
  echo "oracle: $1" >&2
  exit 1
}

unpack() { # SUITE PACKAGE
  local deb
  deb=$(private_apt_download "$1" "$2" "$debs") || return 1
  dpkg -x "$deb" "$root"
}

missing_libraries() {
  [[ $(LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu" ldd "$root/usr/bin/qemu-system-x86_64") == *'not found'* ]]
}

# QEMU's libraries and theirs, nearest first, until none is missing.
unpack_libraries() {
  local queue=(qemu-system-x86) package next seen=' '
  while missing_libraries; do
    [ ${#queue[@]} -gt 0 ] || fail "QEMU's libraries cannot be completed"
    package=${queue[0]}
    queue=("${queue[@]:1}")
    while read -r next; do
      case "$seen$next" in
        *" $next "* | *' libc6') continue ;;
        *" lib"*) ;;
        *) continue ;;
      esac
      seen+="$next "
      queue+=("$next")
      missing_libraries || return 0
      unpack bookworm-backports "$next" 2>/dev/null || unpack bookworm "$next" || true
    done < <(private_apt_depends bookworm-backports "$package"; private_apt_depends bookworm "$package")
  done
}

rm -rf "$cache"
mkdir -p "$root" "$debs"
for package in qemu-system-x86 qemu-system-data seabios; do
  unpack bookworm-backports "$package" || fail "no $package"
done
unpack bookworm xen-hypervisor-4.17-amd64 || fail "no Xen"
unpack_libraries
gzip -dc "$root/boot/xen-4.17-amd64.gz" >"$cache/xen"
rm -rf "$debs"
touch "$stamp"
echo "$cache"
