#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# From a fresh clone to text: installs what is missing, builds the compiler and
# the runtime, compiles the bundled demo model to a native library and lets it
# complete three prompts.
#
#   ./run.sh [--no-install] [--build-dir=DIR]
set -euo pipefail
cd "$(dirname "$0")"
. scripts/common.sh

install=1
for argument in "$@"; do
  case $argument in
  --no-install) install= ;;
  --build-dir=*) build_dir=${argument#*=} ;;
  *)
    echo "error: run.sh: unknown option '$argument', expected --no-install" \
      "or --build-dir=DIR" >&2
    exit 2
    ;;
  esac
done

[ -z "$install" ] || scripts/setup.sh
configure
build moe-compile moe-run

model=models/demo
library=$build_dir/demo.so
compile=$build_dir/bin/moe-compile
run=$build_dir/bin/moe-run

# An artifact newer than its model and all that made it is kept.
if [ ! -e "$library" ] ||
  [ -n "$(find "$model" "$compile" "$build_dir/lib" -newer "$library" \
    ! -type d -print -quit)" ]; then
  echo "-- compiling $model to $library"
  start=$SECONDS
  "$compile" "$model" -o "$library"
  echo "-- compiled in $((SECONDS - start)) s"
fi

echo
echo "-- what is in $library"
"$run" "$library" --describe

for prompt in 'def ' 'import ' 'class '; do
  echo
  echo "-- prompt: '$prompt'"
  "$run" "$library" --params="$model" --prompt="$prompt" --max-new-tokens=64
done

cat <<END

-- Done: $library is a native library of $model, and the text above is its own.
   Your own prompt:  $run $library --params=$model --prompt='for ' --max-new-tokens=200
   All tests:        ./test.sh
END
