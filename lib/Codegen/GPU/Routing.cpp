//===- Routing.cpp - Kernels of the stages of routing --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectRouting(Operation *, KernelModule &) {
  return failure();
}
