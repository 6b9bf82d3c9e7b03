#!/usr/bin/env bash
# An initramfs with Debian's static busybox and a shell on the console. Prints its path. The same input gives the same
# bytes. Uncompressed: unpacking would cost the guest more than reading.
# usage: initramfs.sh [--init FILE] [--add SRC:DST]... [-o FILE]
#   --init FILE     this script as /init instead of images/init
#   --add SRC:DST   a file or a folder of this machine too; the libraries that a program needs come with it
#   -o FILE         where to write; without it, and without --add and --init, a place in the cache
set -euo pipefail
. "$(dirname "$0")/../scripts/lib/common.sh"
. "$(dirname "$0")/../scripts/lib/private-apt.sh"
. "$(dirname "$0")/../scripts/lib/busybox.sh"

skeleton() {
  local tree=$1 init=$2 applet
  mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,etc,dev,proc,sys,tmp,root,lib,lib64}
  install -m 755 "$BUSYBOX" "$tree/bin/busybox"
  install -m 755 "$init" "$tree/init"
  while read -r applet; do ln -sf busybox "$tree/bin/$applet"; done < <("$BUSYBOX" --list | grep -vx busybox)
  # The kernel itself calls these by their paths.
  for applet in poweroff reboot; do ln -s /bin/busybox "$tree/sbin/$applet"; done
  printf 'root::0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root::0:\n' >"$tree/etc/group"
}

# Copies the shared libraries that an ELF file names, each to its own path.
add_libraries() {
  local tree=$1 file=$2 library
  while read -r library; do
    [ -e "$tree$library" ] || install -D -m 755 "$library" "$tree$library"
  done < <(ldd "$file" 2>/dev/null | sed -nE 's,^[^/]*(/[^ ]+) \(0x.*,\1,p')
}

add() {
  local tree=$1 source=${2%%:*} destination=${2#*:} file
  if [ "$source" = "$2" ] || [ ! -e "$source" ]; then die "--add $2: SRC:DST with an existing SRC is needed"; fi
  mkdir -p "$tree$(dirname "$destination")"
  cp -rL --no-target-directory "$source" "$tree$destination"
  while read -r file; do add_libraries "$tree" "$file"; done < <(
    find "$tree$destination" -type f \( -perm /111 -o -name '*.so*' \)
  )
}

pack() {
  local tree=$1 out=$2
  find "$tree" -exec touch -h -d @0 {} +
  find "$tree" -type d -exec chmod 755 {} +
  (cd "$tree" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort |
    cpio --quiet -o -H newc --reproducible -R 0:0) >"$out.part.$$"
  mv "$out.part.$$" "$out"
}

init=$ROOT/images/init
out=
adds=()
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || die "$1: needs a value, or is unknown"
  case $1 in
    --init) init=$2 ;;
    --add) adds+=("$2") ;;
    -o) out=$2 ;;
    *) die "unknown option '$1'" ;;
  esac
  shift 2
done
if [ -z "$out" ]; then
  if [ ${#adds[@]} -gt 0 ] || [ "$init" != "$ROOT/images/init" ]; then die 'with --add or --init, -o FILE is needed'; fi
  out=$XENNER_CACHE/images/initramfs.cpio
fi

mkdir -p "$XENNER_CACHE/images"
BUSYBOX=$(busybox_fetch)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
skeleton "$tree" "$init"
for spec in ${adds[@]+"${adds[@]}"}; do add "$tree" "$spec"; done
pack "$tree" "$out"
printf '%s\n' "$out"
