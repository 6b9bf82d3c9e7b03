#!/usr/bin/env bash
# Makes this checkout ready: Debian packages that are missing, node modules, the build. Nothing to do: well under 2 s.
# usage: setup.sh [run|disk|test|bench]   what is to be made ready; each includes the ones before it
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

TIER=${1:-run}

# The product: a compiler for the addon, the monitor and the soft CPU; decompression for guest kernels; a demo guest.
RUN_PACKAGES=(
  g++ make cmake pkg-config patch dpkg-dev ca-certificates debian-archive-keyring
  libxen-dev liblzma-dev libzstd-dev libbz2-dev liblzo2-dev liblz4-dev zlib1g-dev
  cpio
)
# A guest on a disk: what makes the disk, and its network.
DISK_PACKAGES=(e2fsprogs fdisk mmdebstrap qemu-utils passt)
# Tests: headers to compare with, compressors to make test kernels, programs that guests run, the linters; disks.
TEST_PACKAGES=(
  xz-utils bzip2 lz4 lzop zstd python3-minimal perl-base libc6-dev clang-format shellcheck procps gdb xenstore-utils
  xfsprogs gdisk lvm2 iproute2 grub-xen-host libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libxml2-utils
  udev dmsetup parted open-iscsi tgt
)
# Benchmarks: the peer.
BENCH_PACKAGES=(qemu-system-x86)

wanted_packages() {
  printf '%s\n' "${RUN_PACKAGES[@]}"
  case $TIER in disk | test | bench) printf '%s\n' "${DISK_PACKAGES[@]}" ;; esac
  case $TIER in test | bench) printf '%s\n' "${TEST_PACKAGES[@]}" ;; esac
  case $TIER in bench) printf '%s\n' "${BENCH_PACKAGES[@]}" ;; esac
}

missing_packages() {
  local installed
  # dpkg-query fails for names it does not know; those are missing.
  # shellcheck disable=SC2046 # one word a package
  installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' $(wanted_packages) 2>/dev/null | sed -n 's/^ii //p' || true)
  comm -23 <(wanted_packages | sort -u) <(sort -u <<<"$installed")
}

check_node() {
  command -v node >/dev/null || die 'Node.js 20.17 or newer is needed: install it (https://nodejs.org), then run this again'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 17) ? 0 : 1)' ||
    die "Node.js 20.17 or newer is needed, this is $(node --version): install a newer one, then run this again"
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "xenner runs on Linux on x86-64, this is $(uname -sm)"
}

# Prints the words to put before apt-get, or ends with the one command that the user has to run.
root_prefix() {
  if [ "$(id -u)" = 0 ]; then return 0; fi
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    echo sudo
    return 0
  fi
  die "packages are missing; run as root: apt-get install -y --no-install-recommends $*"
}

apt_install() {
  local prefix=$1
  shift
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
  # The lists of a fresh machine are empty or old: ask for new ones only when they do not do.
  ${prefix:+"$prefix"} "${apt[@]}" install --no-install-recommends "$@" ||
    { ${prefix:+"$prefix"} "${apt[@]}" update && ${prefix:+"$prefix"} "${apt[@]}" install --no-install-recommends "$@"; }
}

install_packages() {
  local missing prefix
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [ "${XENNER_PACKAGES:-}" = present ] && return 0
    die "this is no Debian: install what corresponds to '$(wanted_packages | paste -sd' ')', then run this again with XENNER_PACKAGES=present"
  fi
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  prefix=$(root_prefix "${missing[@]}")
  # A password prompt needs the terminal, which the step takes away.
  [ -z "$prefix" ] || sudo true
  step "$LOGS/packages.log" "installing ${#missing[@]} Debian packages (${missing[*]})" apt_install "$prefix" "${missing[@]}"
}

# npm writes node_modules/.package-lock.json last: older than the lockfile means that somebody changed the lockfile.
install_node_modules() {
  local mark=$ROOT/node_modules/.package-lock.json
  if [ -e "$mark" ] && [ ! "$ROOT/package-lock.json" -nt "$mark" ]; then return 0; fi
  # npm's own patience with a dead network is many minutes a package.
  step "$LOGS/npm.log" 'installing node modules' timeout 600 npm ci --prefix "$ROOT" --no-audit --no-fund \
    --ignore-scripts --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
  touch "$mark"
}

case $TIER in run | disk | test | bench) ;; *) die "unknown argument '$TIER': run, disk, test or bench" ;; esac
check_node
install_packages
install_node_modules
bash "$ROOT/scripts/build.sh"
