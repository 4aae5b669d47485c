//===- Unusable.cpp - Policies without a usable reference -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;

#include "UnusableDialect.h.inc"
#define GET_OP_CLASSES
#include "Unusable.h.inc"

#include "UnusableDialect.cpp.inc"
#define GET_OP_CLASSES
#include "Unusable.cpp.inc"

void unusable::UnusableDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "Unusable.cpp.inc"
      >();
}

int64_t unusable::NoneOp::getMaxExpertsPerToken() { return 1; }
int64_t unusable::TypesOp::getMaxExpertsPerToken() { return 1; }

FailureOr<SmallVector<Value>> unusable::TypesOp::buildReference(OpBuilder &) {
  return SmallVector<Value>{getLogits()};
}

extern "C" __attribute__((visibility("default"))) DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "unusable", "0.1",
          [](DialectRegistry *registry) {
            registry->insert<unusable::UnusableDialect>();
          }};
}
