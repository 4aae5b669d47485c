//===- RegisterAll.cpp - Everything a tool needs --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/RegisterAll.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;

void moe::registerAllMoE(DialectRegistry &registry) {
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<MoEDialect, nn::NNDialect>();
}

void moe::registerAllMoEPasses() { registerAllPasses(); }
