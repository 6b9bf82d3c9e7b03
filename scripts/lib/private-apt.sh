# shellcheck shell=bash
# Packages of any Debian suite, without touching the machine's own apt: every suite gets its own sources, lists and
# cache below $XENNER_CACHE/apt, and its packages are downloaded, never installed. To be sourced. Signatures are checked
# against Debian's archive keyring. The mirror is the one that the machine is set up with.
#
#   private_apt_download SUITE PACKAGE[=VERSION] DIR   downloads a binary package, prints the path of its .deb
#   private_apt_source SUITE PACKAGE[=VERSION] DIR     downloads a source package, prints the path of its .dsc
#   private_apt_depends SUITE PACKAGE                  prints what the newest PACKAGE depends on, one name a line
#   private_apt_refresh SUITE deb|deb-src              forgets the age of the lists: the next call asks the mirror
#
# SUITE is a Debian suite by its codename: bookworm, bookworm-backports, bullseye, trixie, sid. Messages go to stderr.
# A function returns non-zero after one line that says what failed.

XENNER_CACHE=${XENNER_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/xenner}
PRIVATE_APT_KEYRING=${PRIVATE_APT_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
PRIVATE_APT_MAX_AGE_MIN=1440
PRIVATE_APT_CODENAMES='buster|bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable'

private_apt_say() { printf '%s\n' "$*" >&2; }

# The machine's archives that carry dists/NAME/main for one of the given names (a regular expression), one a line.
# "update --print-uris" understands every source format, and needs neither lists nor root.
private_apt_mirrors() {
  apt-get update --print-uris 2>/dev/null |
    sed -nE "s,^'([^']*)/dists/($1)/main/.*,\\1,p" | awk '!seen[$0]++'
}

# Archives to try, best first. Third parties name their suites as Debian does, so Debian-like paths come first, and the
# keyring refuses the others.
private_apt_candidates() {
  local mirrors
  mirrors=$(private_apt_mirrors "$PRIVATE_APT_CODENAMES" || true)
  {
    grep -E '/debian/?$' <<<"$mirrors" || true
    printf '%s\n' "$mirrors"
  } | awk 'NF && !seen[$0]++'
}

private_apt_security_mirror() {
  local mirror
  mirror=$(private_apt_mirrors "($PRIVATE_APT_CODENAMES)-security" | head -n 1 || true)
  printf '%s\n' "$mirror"
}

# A released suite has security updates beside it; backports and development suites have none.
private_apt_has_security() {
  case $1 in
    *-* | sid | unstable | testing | experimental) return 1 ;;
    *) return 0 ;;
  esac
}

private_apt_root() { printf '%s/apt/%s-%s\n' "$XENNER_CACHE" "$1" "$2"; }

# Hooks of the machine's own configuration would clean the machine's own cache; apt's download user cannot enter a home.
private_apt_write_conf() {
  local root=$1
  cat >"$root/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::SourceList "$root/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$root/state";
Dir::State::Lists "$root/lists";
Dir::State::status "$root/state/status";
Dir::Cache "$root/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
CONF
}

private_apt_write_sources() {
  local root=$1 suite=$2 kind=$3 mirror=$4 security=$5 options="signed-by=$PRIVATE_APT_KEYRING"
  printf '%s [%s] %s %s main\n' "$kind" "$options" "$mirror" "$suite" >"$root/sources.list"
  [ -z "$security" ] ||
    printf '%s [%s] %s %s-security main\n' "$kind" "$options" "$security" "$suite" >>"$root/sources.list"
}

private_apt_get() {
  local root=$1
  shift
  apt-get -q -c "$root/apt.conf" "$@"
}

private_apt_try_update() {
  local root=$1 suite=$2 kind=$3 security=$4 mirror
  while read -r mirror; do
    private_apt_write_sources "$root" "$suite" "$kind" "$mirror" "$security"
    printf '== %s\n' "$(cat "$root/sources.list")" >>"$root/update.log"
    if private_apt_get "$root" update >>"$root/update.log" 2>&1; then return 0; fi
  done < <(private_apt_candidates)
  return 1
}

# Fetches the lists of a suite if they are missing or older than a day. Call with the root's lock held.
private_apt_update() {
  local root=$1 suite=$2 kind=$3 old
  if [ -n "$(find "$root/stamp" -mmin "-$PRIVATE_APT_MAX_AGE_MIN" 2>/dev/null)" ]; then return 0; fi
  if [ ! -r "$PRIVATE_APT_KEYRING" ]; then
    private_apt_say "$PRIVATE_APT_KEYRING is missing: install the package debian-archive-keyring"
    return 1
  fi
  mkdir -p "$root/state" "$root/lists/partial" "$root/cache/archives/partial"
  : >>"$root/state/status"
  : >"$root/update.log"
  private_apt_write_conf "$root"
  old=$(cat "$root/sources.list" 2>/dev/null || true)
  private_apt_say "reading the package lists of Debian $suite"
  if private_apt_has_security "$suite" &&
    private_apt_try_update "$root" "$suite" "$kind" "$(private_apt_security_mirror)"; then
    touch "$root/stamp"
  elif private_apt_try_update "$root" "$suite" "$kind" ""; then
    touch "$root/stamp"
  elif [ -e "$root/stamp" ]; then
    printf '%s\n' "$old" >"$root/sources.list"
    private_apt_say "no mirror answers for Debian $suite: using the lists of $(date -r "$root/stamp" +%F)"
  else
    private_apt_say "no mirror offers Debian $suite (see $root/update.log)"
    return 1
  fi
}

# Runs a function with the root of SUITE and KIND up to date and locked against other runs of these scripts.
private_apt_with() {
  local suite=$1 kind=$2 root status=0
  shift 2
  root=$(private_apt_root "$suite" "$kind")
  mkdir -p "$root"
  exec {private_apt_lock}>"$root/lock"
  flock "$private_apt_lock"
  if private_apt_update "$root" "$suite" "$kind"; then "$@" "$root" || status=$?; else status=1; fi
  exec {private_apt_lock}>&-
  return "$status"
}

# Downloads with "apt-get COMMAND..." into DIR and prints the path of the file whose name ends in SUFFIX. In a directory
# of its own: apt neither names nor checks files that are there already.
private_apt_fetch() {
  local dir=$1 suffix=$2 root=${*: -1} fresh name
  local command=("${@:3:$#-3}")
  if ! private_apt_get "$root" --print-uris "${command[@]}" >/dev/null 2>>"$root/update.log"; then
    private_apt_say "Debian's archive has no ${command[*]: -1} (see $root/update.log)"
    return 1
  fi
  fresh=$(mktemp -d "$dir/.download.XXXXXX")
  if ! (cd "$fresh" && private_apt_get "$root" "${command[@]}") >>"$root/update.log" 2>&1; then
    rm -rf "$fresh"
    private_apt_say "downloading ${command[*]: -1} failed (see $root/update.log)"
    return 1
  fi
  name=$(find "$fresh" -name "*$suffix" -printf '%f')
  mv -f "$fresh"/* "$dir/"
  rmdir "$fresh"
  printf '%s/%s\n' "$dir" "$name"
}

private_apt_download() {
  mkdir -p "$3"
  private_apt_with "$1" deb private_apt_fetch "$3" .deb download "$2"
}

private_apt_source() {
  mkdir -p "$3"
  private_apt_with "$1" deb-src private_apt_fetch "$3" .dsc source --download-only "$2"
}

private_apt_show_depends() {
  apt-cache -c "$2/apt.conf" show --no-all-versions "$1" 2>>"$2/update.log" |
    sed -nE 's/^(Pre-)?Depends: //p' | tr ',' '\n' | sed -E 's/^ *([^ (|]+).*/\1/'
}

private_apt_depends() { private_apt_with "$1" deb private_apt_show_depends "$2"; }

private_apt_refresh() { rm -f "$(private_apt_root "$1" "$2")/stamp"; }
