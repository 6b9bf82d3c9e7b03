#!/usr/bin/env bash
# Puts real Xen and a QEMU that emulates it faithfully under one folder, and prints that folder.
#
# Xen 4.17 comes from bookworm, QEMU 10 from bookworm-backports (QEMU 7.2 gives wrong error codes for `int n` in long
# mode). Neither is installed: apt runs with a configuration of its own, on the mirror that this machine already uses,
# and the packages are only unpacked. What the machine lacks of QEMU's libraries comes along the same way.
set -euo pipefail

cache="${XENNER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenner}/oracle"
version=1 # of this recipe: raise it when the packages below change
root="$cache/root"
stamp="$cache/stamp-$version"

if [ -f "$stamp" ]; then
  echo "$cache"
  exit 0
fi

fail() {
  echo "oracle: $1" >&2
  exit 1
}

for tool in apt-get dpkg gzip; do
  command -v "$tool" >/dev/null || fail "no $tool here: the oracle needs a Debian-like machine"
done

# The machine's own mirror of the main archive, whatever its name; security and other archives have other paths.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ { print $3; exit }')
[ -n "$mirror" ] || fail "apt knows no Debian archive: run 'apt-get update' first"

rm -rf "$cache/apt" "$root"
mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/apt/empty" "$root"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || fail "no $keyring: install debian-archive-keyring"
for suite in bookworm bookworm-backports; do
  echo "deb [arch=amd64 signed-by=$keyring] $mirror $suite main"
done >"$cache/apt/sources.list"

# Proxies and the like still come from the machine's apt.conf; lists, archives and sources do not.
private_apt() {
  apt-get -q -o Dir::Etc::SourceList="$cache/apt/sources.list" -o Dir::Etc::SourceParts="$cache/apt/empty" \
    -o Dir::Etc::PreferencesParts="$cache/apt/empty" -o Dir::State::Lists="$cache/apt/lists" \
    -o Dir::Cache="$cache/apt" -o Dir::Cache::Archives="$cache/apt/archives" -o APT::Keep-Downloaded-Packages=1 \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o APT::Get::AutomaticRemove=0 "$@" >&2
}

private_apt update
# --download-only takes QEMU with exactly those libraries that this machine does not have in a good enough version.
private_apt install --yes --download-only --no-install-recommends --reinstall -t bookworm-backports \
  qemu-system-x86 qemu-system-data seabios
(cd "$cache/apt/archives" && private_apt download xen-hypervisor-4.17-amd64)

for package in "$cache"/apt/archives/*.deb; do
  dpkg -x "$package" "$root"
done
xen=$(find "$root/boot" -name 'xen-4.17-amd64.gz' | head -n 1)
[ -n "$xen" ] || fail "the Xen package holds no xen-4.17-amd64.gz"
gzip -dc "$xen" >"$cache/xen"
rm -rf "$cache/apt"
touch "$stamp"
echo "$cache"
