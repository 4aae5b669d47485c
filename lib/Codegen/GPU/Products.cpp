//===- Products.cpp - Kernels of products --------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectProduct(Operation *, KernelModule &) {
  return failure();
}
