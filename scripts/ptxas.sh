#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Sees to it that there is a ptxas, the assembler for GPUs: the one of
# MOE_PTXAS, PATH, CUDA_HOME or /usr/local/cuda, or else that of PyPI's
# nvidia-cuda-nvcc wheel, laid into BUILD/cuda/bin, where moe-compile and the
# tests look last. MOE_PTXAS=none: leave things alone.
#
#   scripts/ptxas.sh [--no-install] [BUILD]
#
#   --no-install  only look        BUILD  the build folder (default: build)
#
# Exit codes: 0 there is one (its path is the last line), 2 wrong command line,
# 4 there is none and none can be had; one `error: ` line then says why.
set -euo pipefail
cd "$(dirname "$0")/.."

version=13.0.88
sha256=56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03

install=1 build=build
for argument in "$@"; do
  case $argument in
  --no-install) install= ;;
  -*)
    echo "error: ptxas.sh: unknown option '$argument', expected --no-install" >&2
    exit 2
    ;;
  *) build=$argument ;;
  esac
done

fail() {
  echo "error: $1" >&2
  exit 4
}

[ "${MOE_PTXAS:-}" != none ] || fail "MOE_PTXAS=none: no ptxas is wanted"
mine=$build/cuda/bin/ptxas
for file in "${MOE_PTXAS:-}" "$(command -v ptxas || true)" \
  "${CUDA_HOME:-/usr/local/cuda}/bin/ptxas" /usr/local/cuda/bin/ptxas "$mine"; do
  if [ -f "$file" ] && [ -x "$file" ]; then
    echo "$file"
    exit 0
  fi
done
[ -n "$install" ] || fail "there is no ptxas; scripts/ptxas.sh installs one"
[ "$(uname -sm)" = "Linux x86_64" ] ||
  fail "there is no ptxas, and no wheel of it for $(uname -sm)"

# Debian's python, unless there is another that has pip.
python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -m pip --version >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  scripts/setup.sh --pip || fail "pip, which gets ptxas, cannot be installed"
  python=/usr/bin/python3
fi

mkdir -p "$build/cuda/bin"
folder=$(mktemp -d "$build/cuda/download.XXXXXX")
trap 'rm -rf "$folder"' EXIT
echo "-- ptxas: getting nvidia-cuda-nvcc $version (37 MB)" >&2
echo "nvidia-cuda-nvcc==$version --hash=sha256:$sha256" >"$folder/wanted.txt"
timeout 300 "$python" -m pip --disable-pip-version-check --timeout 30 \
  download --quiet --no-deps --only-binary=:all: --require-hashes \
  -r "$folder/wanted.txt" -d "$folder" >"$folder/log" 2>&1 ||
  fail "nvidia-cuda-nvcc $version cannot be had: $(grep -i '^error' "$folder/log" |
    tail -n 1 | cut -c -200)"
"$python" - "$folder" <<'END'
import glob, os, sys, zipfile
wheel, = glob.glob(os.path.join(sys.argv[1], "*.whl"))
with zipfile.ZipFile(wheel) as archive:
    name, = [n for n in archive.namelist() if n.endswith("/bin/ptxas")]
    with open(os.path.join(sys.argv[1], "ptxas"), "wb") as file:
        file.write(archive.read(name))
END
chmod +x "$folder/ptxas"
"$folder/ptxas" --version >/dev/null || fail "the ptxas of the wheel does not run"
mv "$folder/ptxas" "$mine"
echo "$mine"
