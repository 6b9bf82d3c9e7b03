# shellcheck shell=bash
# QEMU 10 of bookworm-backports, beside whatever QEMU the machine has: unpacked below $XENNER_CACHE with those of its
# libraries that the machine lacks, never installed. QEMU 7.2 gives wrong error codes for `int n` in long mode, and has
# no Xen guests on KVM. To be sourced, after private-apt.sh.
#
#   qemu10_fetch    prints the path of a program that is to be used like qemu-system-x86_64; needs the network only once

# Raise it whenever what is unpacked below changes.
QEMU10_RECIPE=1

qemu10_unpack() { # SUITE PACKAGE ROOT
  local deb
  deb=$(private_apt_download "$1" "$2" "$3.debs") || return 1
  dpkg -x "$deb" "$3"
}

qemu10_lacks_libraries() {
  [[ $(LD_LIBRARY_PATH="$1/usr/lib/x86_64-linux-gnu" ldd "$1/usr/bin/qemu-system-x86_64") == *'not found'* ]]
}

# QEMU's libraries and theirs, nearest first, until none is missing.
qemu10_unpack_libraries() {
  local root=$1 queue=(qemu-system-x86) package next seen=' '
  while qemu10_lacks_libraries "$root"; do
    if [ ${#queue[@]} = 0 ]; then
      private_apt_say "QEMU's libraries cannot be completed"
      return 1
    fi
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
      qemu10_lacks_libraries "$root" || return 0
      qemu10_unpack bookworm-backports "$next" "$root" 2>/dev/null || qemu10_unpack bookworm "$next" "$root" || true
    done < <(private_apt_depends bookworm-backports "$package"; private_apt_depends bookworm "$package")
  done
}

# Its modules and firmware must be its own: those of the machine's QEMU do not fit.
qemu10_write_starter() {
  local at=$1
  cat >"$at.new" <<STARTER
#!/bin/sh
root='${at%/*}/root'
export LD_LIBRARY_PATH="\$root/usr/lib/x86_64-linux-gnu" QEMU_MODULE_DIR="\$root/usr/lib/x86_64-linux-gnu/qemu"
exec "\$root/usr/bin/qemu-system-x86_64" -L "\$root/usr/share/qemu" -L "\$root/usr/share/seabios" "\$@"
STARTER
  chmod +x "$at.new"
  mv "$at.new" "$at"
}

qemu10_fetch() {
  local cache=$XENNER_CACHE/qemu10-$QEMU10_RECIPE package lock
  mkdir -p "$cache"
  exec {lock}>"$cache.lock"
  flock "$lock"
  if [ ! -x "$cache/qemu" ]; then
    rm -rf "$cache/root"
    mkdir -p "$cache/root"
    for package in qemu-system-x86 qemu-system-data seabios; do
      qemu10_unpack bookworm-backports "$package" "$cache/root" || return 1
    done
    qemu10_unpack_libraries "$cache/root" || return 1
    rm -rf "$cache/root.debs"
    qemu10_write_starter "$cache/qemu"
  fi
  exec {lock}>&-
  printf '%s\n' "$cache/qemu"
}
