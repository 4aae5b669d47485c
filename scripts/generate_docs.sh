#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Writes the reference pages that come from TableGen into OUT:
#   scripts/generate_docs.sh MLIR_TBLGEN LLVM_INCLUDE_DIR OUT
set -eu
tblgen=$1 llvm=$2 out=$3
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"

page() { # NAME GENERATOR FILE [OPTION...]
  name=$1 generator=$2 file=$3
  shift 3
  {
    echo "<!-- Made by 'ninja moe-doc' from include/moe/$file: do not edit. -->"
    "$tblgen" "-gen-$generator" "$@" -I "$root/include" -I "$llvm" \
      "$root/include/moe/$file"
  } | sed -e 's/[[:space:]]*$//' > "$out/$name.md"
}

page MoEDialect dialect-doc Dialect/MoE/IR/MoEOps.td -dialect=moe
page NNDialect dialect-doc Dialect/NN/IR/NNOps.td -dialect=nn
page Interfaces op-interface-docs Dialect/MoE/IR/MoEInterfaces.td
page TransformPasses pass-doc Dialect/MoE/Transforms/Passes.td
page ConversionPasses pass-doc Conversion/Passes.td
page CodegenPasses pass-doc Codegen/Passes.td
page InterpreterPasses pass-doc Interpreter/Passes.td
