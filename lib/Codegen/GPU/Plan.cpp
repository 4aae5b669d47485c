//===- Plan.cpp - Kernels that sort an assignment ------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectPlan(Operation *, KernelModule &) {
  return failure();
}
