# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# shellcheck shell=bash
#
# What run.sh and test.sh share; sourced by them in the project's root.

jobs=$(nproc)
build_dir=build

# configure [CMAKE-ARGUMENT...]: runs cmake once per build folder and set of
# arguments; ninja itself notices changed CMake files. A folder that was
# configured by hand keeps its choices.
configure() {
  local arguments=(
    -G Ninja
    -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_C_COMPILER=clang-22
    -DCMAKE_CXX_COMPILER=clang++-22
    -DMLIR_DIR=/usr/lib/llvm-22/lib/cmake/mlir
    "$@"
  )
  local stamp=$build_dir/.configured
  if [ -e "$build_dir/build.ninja" ]; then
    [ -e "$stamp" ] || return 0
    [ "$(cat "$stamp")" != "${arguments[*]}" ] || return 0
  fi
  mkdir -p "$build_dir"
  echo "-- configuring $build_dir"
  if ! cmake -S . -B "$build_dir" "${arguments[@]}" \
    >"$build_dir/configure.log" 2>&1; then
    tail -n 25 "$build_dir/configure.log" >&2
    echo "error: cmake failed, the whole log is $build_dir/configure.log" >&2
    return 1
  fi
  echo "${arguments[*]}" >"$stamp"
}

# build [TARGET...]: a line of progress per step.
build() {
  echo "-- building ${*:-everything} with $jobs jobs"
  NINJA_STATUS='[%f/%t %es] ' ninja -C "$build_dir" -j "$jobs" "$@" || {
    echo "error: the build failed, see above" >&2
    return 1
  }
}
