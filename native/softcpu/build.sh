#!/usr/bin/env bash
# Builds the soft CPU: libsoftcpu.a and softcpu.h, in a directory of the cache whose name depends on everything that
# went into it. Its path is the last line on stdout; messages go to stderr. Does nothing when it is there already.
#
#   build.sh [--without NN]...    NN: leave patches/NN-*.patch out, to see what it is for
#
# QEMU's source comes from Debian bookworm's source package by the ordinary apt client (scripts/lib/private-apt.sh). The
# upstream tarball and, from Debian's, upstream's stable fixes are pinned by their sha256 in source.sha256; Debian's own
# revision may move on. Exit status 3: the source is not to be had.
set -euo pipefail
export LC_ALL=C

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../scripts/lib/private-apt.sh
. "$HERE/../../scripts/lib/private-apt.sh"

SUITE=bookworm
PACKAGE=qemu
TREE=(accel/tcg tcg target/i386 fpu include util/host-utils.c util/int128.c crypto/aes.c)
export CFLAGS=${CFLAGS:--O2}

without=()
while [ $# -gt 0 ]; do
  case $1 in
    --without) without+=("${2:?--without needs a number}") && shift 2 ;;
    *) printf 'usage: build.sh [--without NN]...\n' >&2 && exit 2 ;;
  esac
done

say() { printf 'soft CPU: %s\n' "$*" >&2; }
unavailable() { say "$*" && exit 3; }

inputs_hash() {
  {
    find "$HERE" -path "$HERE/test" -prune -o -type f ! -name '*.md' ! -name '*.sh' -print0 | sort -z |
      xargs -0 sha256sum | sed "s,$HERE/,,"
    sha256sum <"${BASH_SOURCE[0]}"
    printf '%s\n' "$CFLAGS" "${without[*]}" "$(${CC:-cc} -dumpfullversion)"
  } | sha256sum | cut -c 1-16
}

# The expected hash of a file named in source.sha256.
pinned() { awk -v name="$1" '$2 == name { print $1 }' "$HERE/source.sha256"; }
is_pinned() { [ "$(sha256sum <"$1" | cut -d ' ' -f 1)" = "$(pinned "$2")" ]; }

# Downloads the source package unless its upstream tarball is here from an earlier build; sets $orig and $debian.
fetch() {
  local dir=$1
  if ! newest "$dir"; then
    say "downloading the source package $PACKAGE of Debian $SUITE"
    private_apt_source "$SUITE" "$PACKAGE" "$dir" >/dev/null || unavailable "QEMU's source is not available"
    newest "$dir" || unavailable "the source package $PACKAGE has no upstream tarball of version 7.2"
  fi
}

newest() {
  orig=$1/qemu_7.2+dfsg.orig.tar.xz
  debian=$(find "$1" -name 'qemu_7.2+dfsg-*.debian.tar.xz' 2>/dev/null | sort -V | tail -n 1)
  [ -f "$orig" ] && [ -n "$debian" ] && is_pinned "$orig" "${orig##*/}"
}

# The sections of a diff that are about files of the tree.
sections_for() {
  awk -v tree="$1" '
    /^diff --git / { path = substr($3, 3); keep = (system("test -e \"" tree "/" path "\"") == 0) }
    keep' "$2"
}

apply_stable() {
  local tree=$1 name
  mkdir -p "$tree/debian"
  tar -xJf "$debian" -C "$tree" debian/patches
  while read -r name; do
    is_pinned "$tree/debian/patches/$name" "$name" ||
      unavailable "$name of Debian's source package is missing or is not the one that this was made with"
    sections_for "$tree" "$tree/debian/patches/$name" >"$tree/debian/section"
    [ ! -s "$tree/debian/section" ] || patch -s -p1 -d "$tree" <"$tree/debian/section"
  done < <(awk '$2 ~ /\.diff$/ { print $2 }' "$HERE/source.sha256")
}

apply_ours() {
  local tree=$1 file number
  for file in "$HERE"/patches/*.patch; do
    number=${file##*/}
    number=${number%%-*}
    case " ${without[*]} " in *" $number "*) continue ;; esac
    patch -s -p1 -F0 -d "$tree" <"$file" || { say "${file##*/} does not apply" && exit 1; }
  done
}

build() {
  local out=$1 work status=0
  work=$(mktemp -d "$XENNER_CACHE/softcpu-work.XXXXXX")
  # shellcheck disable=SC2064 # its value of now: the variable is gone by then
  trap "rm -rf '$work'" EXIT
  fetch "$XENNER_CACHE/softcpu-source"
  say "unpacking"
  mkdir "$work/qemu" "$work/new"
  tar -xJf "$orig" -C "$work/qemu" --strip-components=1 --wildcards "${TREE[@]/#/*/}"
  apply_stable "$work/qemu"
  apply_ours "$work/qemu"
  say "compiling"
  nice make -s -j "$(nproc)" -C "$HERE" QEMU="$work/qemu" OUT="$work/obj" >"$work/log" 2>&1 || status=$?
  if [ $status -ne 0 ]; then
    grep -m5 -E 'error|Error|undefined' "$work/log" >&2 || tail -n 5 "$work/log" >&2
    exit 1
  fi
  cp "$work/obj/libsoftcpu.a" "$HERE/softcpu.h" "$work/new/"
  rm -rf "$out"
  mv "$work/new" "$out"
}

out=$XENNER_CACHE/softcpu-$(inputs_hash)
if [ ! -f "$out/libsoftcpu.a" ]; then
  mkdir -p "$XENNER_CACHE"
  exec {lock}>"$XENNER_CACHE/softcpu.lock"
  flock "$lock"
  if [ ! -f "$out/libsoftcpu.a" ]; then (build "$out"); fi
  exec {lock}>&-
fi
printf '%s\n' "$out"
