#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Checks format and lint of the C and C++ files that git knows.
#
#   scripts/lint.sh [--no-install] [--fix] [--tidy] [PATH...]
#
#   --fix   format in place         --tidy  also run clang-tidy (minutes; needs
#                                           a configured build/)
#   PATH    only files under it; default: lib include runtime tools unittests
#           examples
set -euo pipefail
cd "$(dirname "$0")/.."

install=1 fix= tidy= paths=()
for argument in "$@"; do
  case $argument in
  --no-install) install= ;;
  --fix) fix=1 ;;
  --tidy) tidy=1 ;;
  -*)
    echo "error: lint.sh: unknown option '$argument', expected --no-install," \
      "--fix or --tidy" >&2
    exit 2
    ;;
  *) paths+=("$argument") ;;
  esac
done
[ ${#paths[@]} -gt 0 ] ||
  paths=(lib include runtime tools unittests examples)

[ -z "$install" ] || scripts/setup.sh --lint
command -v git >/dev/null || {
  echo "error: lint.sh needs git" >&2
  exit 4
}
mapfile -t files < <(git ls-files -- "${paths[@]}" |
  grep -E '\.(c|cc|cpp|h)$' || true)
[ ${#files[@]} -gt 0 ] || {
  echo "error: no C or C++ file under ${paths[*]}" >&2
  exit 1
}

status=0
if [ -n "$fix" ]; then
  clang-format-22 -i "${files[@]}"
else
  clang-format-22 --dry-run -Werror "${files[@]}" || status=3
fi
if [ -n "$tidy" ]; then
  mapfile -t sources < <(printf '%s\n' "${files[@]}" |
    grep -E '\.(c|cc|cpp)$' || true)
  [ ${#sources[@]} -eq 0 ] || printf '%s\0' "${sources[@]}" |
    xargs -0 -n 1 -P "$(nproc)" clang-tidy-22 -p build --quiet \
      --warnings-as-errors='*' || status=3
fi
[ $status -ne 0 ] || echo "${#files[@]} files are clean"
exit $status
