//===- RegisterAll.cpp - Everything a tool needs --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/RegisterAll.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "moe/Codegen/Passes.h"
#include "moe/Conversion/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/BufferizableOpInterfaceImpl.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "moe/Interpreter/Interpreter.h"
#include "moe/Interpreter/Passes.h"
#include "moe/Pipelines/Pipelines.h"

using namespace mlir;

namespace mlir::moe {
#define GEN_PASS_REGISTRATION
#include "moe/Codegen/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "moe/Conversion/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

void moe::registerAllMoE(DialectRegistry &registry) {
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<MoEDialect, nn::NNDialect>();
  registerBufferizableOpInterfaceExternalModels(registry);
  registerInterpretableOpInterfaceExternalModels(registry);
}

void moe::registerAllMoEPasses() {
  registerAllPasses();
  registerMoEPasses();
  registerMoEConversionPasses();
  registerMoECodegenPasses();
  registerMoEInterpreterPasses();
  registerMoEPipelines();
}
