#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs what is missing, builds everything, runs every test and ends with
# one line `N passed, N failed, N skipped` over all runners. Exit code 0 only if
# none failed.
#
#   ./test.sh [--no-install] [--filter=REGEX] [--build-dir=DIR]
#
#   --filter=REGEX  only the tests whose name matches
set -euo pipefail
cd "$(dirname "$0")"
. scripts/common.sh

install=1 filter=
for argument in "$@"; do
  case $argument in
  --no-install) install= ;;
  --filter=*) filter=${argument#*=} ;;
  --build-dir=*) build_dir=${argument#*=} ;;
  *)
    echo "error: test.sh: unknown option '$argument', expected --no-install," \
      "--filter=REGEX or --build-dir=DIR" >&2
    exit 2
    ;;
  esac
done

# Time budget: stage NAME ends the stage that runs and begins the next.
stage_names=() stage_seconds=() stage_start=$SECONDS stage_name=
stage() {
  if [ -n "$stage_name" ]; then
    stage_names+=("$stage_name")
    stage_seconds+=($((SECONDS - stage_start)))
  fi
  stage_name=$1 stage_start=$SECONDS
}
print_budget() {
  stage ''
  local i
  echo
  echo "-- time budget"
  for i in "${!stage_names[@]}"; do
    printf '   %-10s %5d s\n' "${stage_names[i]}" "${stage_seconds[i]}"
  done
  printf '   %-10s %5d s\n' total $SECONDS
}

# A build that fails is one failed test: the last line is there all the same.
build_failed() {
  print_budget
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
}

stage packages
[ -z "$install" ] || scripts/setup.sh --tests
ptxas_options=()
[ -n "$install" ] || ptxas_options=(--no-install)
scripts/ptxas.sh "${ptxas_options[@]}" "$build_dir" >/dev/null ||
  echo "-- no ptxas: the tests that need it are skipped"

stage build
cmake_arguments=()
# A machine that builds once and runs for minutes is best served by a compiler
# that is itself compiled quickly; generated code is not affected.
[ "${CI:-}" != true ] || cmake_arguments+=(-DMOE_CXX_OPT=-O1)
configure "${cmake_arguments[@]}" || build_failed
build || build_failed

results=$build_dir/results
rm -rf "$results"
mkdir -p "$results"
runners=()

# run_lit NAME PATH [OPTION...]: lit under PATH; its results go to NAME.json.
# Debian's python, for which lit and psutil are installed, if it is there.
python=/usr/bin/python3
[ -x $python ] || python=python3
lit=$(command -v lit-22 || echo /usr/lib/llvm-22/bin/lit)
lit_options=(-j "$jobs" --verbose --allow-empty-runs)
[ -z "$filter" ] || lit_options+=("--filter=$filter")
# A hanging test is a failed test; lit can only see to that with psutil.
! $python -c 'import psutil' 2>/dev/null || lit_options+=(--timeout=600)
run_lit() {
  local name=$1 path=$2 status=0
  shift 2
  "$python" "$lit" "${lit_options[@]}" "$@" --output="$results/$name.json" "$path" ||
    status=$?
  runners+=("$name=lit:$status:$results/$name.json")
}

stage lit
echo "-- lit"
run_lit lit "$build_dir/test" --filter-out=' :: golden/'

stage goldens
echo "-- goldens"
run_lit goldens "$build_dir/test/golden"

stage unit
echo "-- unit tests"
status=0
ctest_options=(-j "$jobs" --output-on-failure --timeout 600)
[ -z "$filter" ] || ctest_options+=(-R "$filter")
ctest --test-dir "$build_dir" "${ctest_options[@]}" \
  --output-junit "$PWD/$results/unit.xml" || status=$?
runners+=("unit=ctest:$status:$results/unit.xml")

# The runtime is built once more for each sanitizer: it is small, has threads,
# and reads what strangers wrote; so does the emulator. (The whole tree:
# cmake --preset sanitize.) run_sanitized NAME SOURCE OPTION...
run_sanitized() {
  local name=$1 source=$2 folder=$build_dir/$2-$1 status=0
  shift 2
  {
    cmake -S "$source" -B "$folder" -G Ninja -DCMAKE_C_COMPILER=clang-22 \
      -DCMAKE_CXX_COMPILER=clang++-22 "$@" >"$folder.log" 2>&1 &&
      ninja -C "$folder" -j "$jobs" >>"$folder.log" 2>&1 ||
      { tail -n 25 "$folder.log" >&2 && false; }
  } && ctest --test-dir "$folder" "${ctest_options[@]}" \
    --output-junit "$PWD/$results/$name.xml" || status=$?
  runners+=("$name=ctest:$status:$results/$name.xml")
}
stage sanitize
case ${filter:-runtime} in
*runtime*)
  echo "-- the runtime under sanitizers"
  run_sanitized address runtime -DMOE_RT_SANITIZE=address
  run_sanitized thread runtime -DMOE_RT_SANITIZE=thread
  ;;
esac
case ${filter:-emulator} in
*emulator*)
  echo "-- the emulator under sanitizers"
  run_sanitized emulator emulator -DMOE_EMULATOR_SANITIZE=address
  ;;
esac

stage rest
print_budget
options=()
[ -z "$filter" ] || options+=(--allow-empty)
"$python" scripts/count_tests.py "${options[@]}" "${runners[@]}"
