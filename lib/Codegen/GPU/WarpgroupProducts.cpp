//===- WarpgroupProducts.cpp - Kernels of products on sm_90a -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectWarpgroupProduct(Operation *, KernelModule &) {
  return failure();
}
