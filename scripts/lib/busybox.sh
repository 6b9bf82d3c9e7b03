# shellcheck shell=bash
# Debian's static busybox. To be sourced, after common.sh and private-apt.sh.

# Prints its path. From the package, not from this machine: a machine may have the other busybox package, which is not
# static.
busybox_fetch() {
  local busybox=$XENNER_CACHE/images/busybox part deb
  part=$busybox.part.$$
  if [ ! -x "$busybox" ]; then
    say 'downloading busybox-static of Debian bookworm'
    deb=$(private_apt_download bookworm busybox-static "$part")
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$part" --strip-components=2 ./bin/busybox
    mv "$part/busybox" "$busybox"
    rm -rf "$part"
  fi
  printf '%s\n' "$busybox"
}
