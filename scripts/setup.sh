#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs the packages that moe-mlir is built with, on Debian 12 (bookworm) or
# later. Asks dpkg first and touches apt only for what is missing.
#
#   scripts/setup.sh [--tests] [--lint] [--pip] [--list]
#
#   --tests  also what the tests use       --lint  also the formatter and linter
#   --pip    also what scripts/ptxas.sh downloads with
#   --list   print the package names and stop
#
# Exit codes: 0 all is there, 2 wrong command line, 4 something is missing that
# cannot be installed; one `error: ` line then says what to do.
set -euo pipefail

# What it takes to build. clang brings libc and libstdc++ headers along.
packages=(
  clang-22
  cmake
  libgtest-dev
  liblld-22-dev
  libmlir-22-dev
  libzstd-dev
  lld-22
  llvm-22-dev
  llvm-22-tools # lit, FileCheck, not
  mlir-22-tools
  ninja-build
  python3 # lit
  zlib1g-dev
)
# readelf; sanitizers and the replay of fuzzer corpora; lit's time limit.
test_packages=(binutils libclang-rt-22-dev python3-psutil)
lint_packages=(clang-format-22 clang-tidy-22)

fail() {
  echo "error: $1" >&2
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@" >&2
  exit 4
}

list_only=
for argument in "$@"; do
  case $argument in
  --tests) packages+=("${test_packages[@]}") ;;
  --lint) packages+=("${lint_packages[@]}") ;;
  --pip) packages+=(python3-pip) ;;
  --list) list_only=1 ;;
  *)
    echo "error: setup.sh: unknown option '$argument', expected --tests," \
      "--lint, --pip or --list" >&2
    exit 2
    ;;
  esac
done
if [ -n "$list_only" ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "this is no Debian system: install LLVM and MLIR 22, lld 22, cmake," \
    "ninja, GoogleTest, zlib and zstd by hand, then pass --no-install"

# 1. What is missing?
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' \
  "${packages[@]}" 2>/dev/null | sed -n 's/ installed$//p' || true)
missing=()
for package in "${packages[@]}"; do
  case $'\n'$installed$'\n' in
  *$'\n'"$package"$'\n'*) ;;
  *) missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

# 2. May we install it?
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    fail "packages are missing and there is neither root nor sudo; as root run:" \
      "  apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs apt-get quietly; says every 20 s where it is; shows the end of its
# output if it fails.
apt() {
  local status=0 pid start=$SECONDS
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
    apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  (
    while sleep 20 && kill -0 "$pid" 2>/dev/null; do
      printf '   %4d s  %s\n' $((SECONDS - start)) \
        "$(tail -n 1 "$log" | tr -d '\r' | cut -c -60)"
    done
  ) &
  local beat=$!
  wait "$pid" || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  return $status
}

echo "-- packages: installing ${missing[*]}"
if ! apt update; then
  tail -n 15 "$log" >&2
  hints=()
  if grep -q 'certificate' "$log"; then
    hints=("the sources use https, which needs the package ca-certificates")
  fi
  fail "apt-get update failed" "${hints[@]}"
fi

# 3. A package without a candidate comes from a suite that is not enabled.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
absent=$(LC_ALL=C apt-cache policy "${missing[@]}" |
  awk '/^[^ ]/ { name = $1; sub(":$", "", name); seen[name] = 1 }
       /^  Candidate: / && $2 != "(none)" { found[name] = 1 }
       END { for (n in seen) if (!(n in found)) print n }')
for package in "${missing[@]}"; do
  # A name that apt has never heard of is not printed at all.
  LC_ALL=C apt-cache show --no-all-versions "$package" >/dev/null 2>&1 ||
    absent+=" $package"
done
lines=() suites=
for package in $(printf '%s\n' $absent | sort -u); do
  case $package in
  *-22 | *-22-*) suite=$codename-security directory=debian-security ;;
  *) suite=$codename directory=debian ;;
  esac
  case " $suites " in
  *" $suite "*) ;;
  *)
    suites+="${suites:+ and }$suite"
    lines+=("  deb http://MIRROR/$directory $suite main")
    ;;
  esac
done
if [ -n "$suites" ]; then
  if grep -q '^[WE]: Failed to fetch' "$log"; then
    grep '^[WE]: Failed to fetch' "$log" | head -n 3 >&2
    fail "the package lists could not be fetched, see above"
  fi
  fail "apt does not know $(printf '%s\n' $absent | sort -u | paste -s -d ' '): suite $suites is not enabled" \
    "add to /etc/apt/sources.list, with your Debian mirror for MIRROR, and run again:" \
    "${lines[@]}"
fi

# 4. Install.
if ! apt install --no-install-recommends "${missing[@]}"; then
  tail -n 25 "$log" >&2
  fail "apt-get could not install the packages above" \
    "the suites $codename, $codename-updates and $codename-security must all be enabled (component main)"
fi
echo "-- packages: done in $SECONDS s"
