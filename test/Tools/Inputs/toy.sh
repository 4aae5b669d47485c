#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# toy.sh CC SOURCE-DIR PYTHON OUT [FLAG...]: builds and seals toy.c.
set -e
cc=$1 source=$2 python=$3 out=$4
shift 4
here=$(dirname "$0")
"$cc" -std=c11 -O1 -Wall -Wextra -Werror -fPIC -shared -nostdlib \
  -Wl,--build-id=none -I"$source/runtime/include" "$@" "$here/toy.c" -o "$out"
"$python" "$here/seal.py" "$out"
