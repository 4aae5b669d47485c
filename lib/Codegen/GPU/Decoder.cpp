//===- Decoder.cpp - Kernels of the rest of a decoder --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult moe::selectDecoder(Operation *, KernelModule &) {
  return failure();
}
