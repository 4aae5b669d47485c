#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# exports.sh NM LIBRARY: the library defines no dynamic symbol but the driver's
# functions and moe_emulator_*.
set -eu
symbols=$("$1" -D --defined-only "$2" | awk '{ print $NF }')
echo "$symbols" | grep -qx 'cuInit' || {
  echo "exports.sh: $2 does not show cuInit" >&2
  exit 1
}
others=$(echo "$symbols" | grep -vE '^(cu[A-Z]|moe_emulator_)' || true)
if [ -n "$others" ]; then
  echo "exports.sh: $2 shows what is not the driver's:" >&2
  echo "$others" >&2
  exit 1
fi
