//===- Rows.cpp - Kernels that move and combine rows ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectRows(Operation *, KernelModule &) {
  return failure();
}
