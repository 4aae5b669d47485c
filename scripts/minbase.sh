#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Shows that a bare Debian is enough: makes a minbase root (no git, sudo,
# python, ca-certificates), gives it this machine's apt sources and a clean
# clone of HEAD, and runs ./run.sh, ./run.sh again and ./test.sh in it.
# Needs root, debootstrap and git.
#
#   scripts/minbase.sh [--root=DIR] [--cache=DIR] [--keep] [--command=CMD]
#
#   --root=DIR     where the root goes; default: a new folder under $TMPDIR. An
#                  existing root is used as it is, only the clone is made anew
#   --cache=DIR    keep downloaded packages here for the next run
#   --keep         leave the root behind
#   --command=CMD  run this in the clone instead; may be repeated
set -euo pipefail

root= cache= keep= commands=()
for argument in "$@"; do
  case $argument in
  --root=*) root=${argument#*=} keep=1 ;;
  --cache=*) cache=${argument#*=} ;;
  --keep) keep=1 ;;
  --command=*) commands+=("${argument#*=}") ;;
  *)
    echo "error: minbase.sh: unknown option '$argument'" >&2
    exit 2
    ;;
  esac
done
[ ${#commands[@]} -gt 0 ] || commands=(./run.sh ./run.sh ./test.sh)

fail() {
  echo "error: $1" >&2
  exit 4
}
[ "$(id -u)" -eq 0 ] || fail "minbase.sh must run as root"
for tool in debootstrap git unshare chroot; do
  command -v $tool >/dev/null || fail "minbase.sh needs '$tool'"
done
project=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$root" ] || root=$(mktemp -d "${TMPDIR:-/tmp}/minbase.XXXXXX")/root
cleanup() { [ -n "$keep" ] || rm -rf --one-file-system "${root%/root}"; }
trap cleanup EXIT

# The mirror and the release are those of this machine's main suite.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets \
  --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  awk -v r="$release" '$2 == r && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || fail "no apt source of this machine has '$release main'"

# debootstrap's own folder stays behind in a root that it did not finish.
if [ ! -e "$root/etc/debian_version" ] || [ -d "$root/debootstrap" ]; then
  echo "== minbase root of $release in $root"
  mkdir -p "$root"
  options=(--variant=minbase)
  if [ -n "$cache" ]; then
    mkdir -p "$cache/base"
    options+=("--cache-dir=$(cd "$cache/base" && pwd)")
  fi
  debootstrap "${options[@]}" "$release" "$root" "$mirror" \
    >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    fail "debootstrap failed"
  }
fi

# Sources, the keys they name, and how to reach them.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d
mkdir -p "$root/etc/apt/sources.list.d"
[ ! -s /etc/apt/sources.list ] || cp /etc/apt/sources.list "$root/etc/apt/"
for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  [ ! -e "$file" ] || cp "$file" "$root/etc/apt/sources.list.d/"
done
grep -rhoE '/[^] ]+\.(gpg|asc)' "$root"/etc/apt/sources.list* | sort -u |
  while read -r key; do
    [ ! -e "$key" ] || [ -e "$root$key" ] || install -D -m 644 "$key" "$root$key"
  done
apt-config dump |
  grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' \
    >"$root/etc/apt/apt.conf.d/99machine" || true
for file in /etc/resolv.conf /etc/hosts; do
  [ ! -e $file ] || cp -L $file "$root$file"
done
for package in git sudo ca-certificates python3; do
  if chroot "$root" dpkg-query -W -f '${db:Status-Status}' $package \
    2>/dev/null | grep -q '^installed'; then
    echo "== note: the root already has $package"
  fi
done

rm -rf "$root/src/moe-mlir"
mkdir -p "$root/src"
git clone -q --no-hardlinks "$project" "$root/src/moe-mlir"
echo "== clone of $(git -C "$project" log -1 --format='%h %s')"

# Mounts live in a namespace of their own and end with it.
export root
if [ -n "$cache" ]; then
  mkdir -p "$cache/archives/partial"
  archives=$(cd "$cache/archives" && pwd)
  export archives
fi
for command in "${commands[@]}"; do
  echo "== $command"
  start=$SECONDS status=0
  command=$command unshare --mount bash -eu -c '
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    [ -z "${archives:-}" ] ||
      mount --bind "$archives" "$root/var/cache/apt/archives"
    exec env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      ${CI:+CI="$CI"} chroot "$root" \
      bash -c "cd /src/moe-mlir && $command" </dev/null
  ' || status=$?
  echo "== $command: exit $status after $((SECONDS - start)) s"
  [ "$status" -eq 0 ] || exit "$status"
done
