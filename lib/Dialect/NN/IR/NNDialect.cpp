//===- NNDialect.cpp - The NN dialect -------------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;
using namespace mlir::nn;

#include "moe/Dialect/NN/IR/NNDialect.cpp.inc"

void NNDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "moe/Dialect/NN/IR/NNOps.cpp.inc"
      >();
}
