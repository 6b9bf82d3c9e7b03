# shellcheck shell=bash
# Debian's kernel packages. To be sourced, after common.sh and private-apt.sh.
#
#   debian_kernel_unpack SUITE METAPACKAGE DIR PATTERN...   the files of the newest kernel that fit tar's PATTERNs, into DIR

# METAPACKAGE depends on the newest kernel of its kind.
debian_kernel_unpack() {
  local suite=$1 metapackage=$2 into=$3 package deb
  shift 3
  package=$(private_apt_depends "$suite" "$metapackage" | grep -m 1 '^linux-image-[0-9]') ||
    die "Debian $suite names no kernel package in $metapackage"
  say "downloading $package of Debian $suite"
  deb=$(private_apt_download "$suite" "$package" "$into")
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$into" --wildcards "$@"
  rm -f "$deb"
}
