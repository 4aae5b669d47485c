//===- NN.h - The NN dialect ------------------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_DIALECT_NN_IR_NN_H
#define MOE_DIALECT_NN_IR_NN_H
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "moe/Dialect/MoE/IR/MoE.h"

#include "moe/Dialect/NN/IR/NNDialect.h.inc"
#define GET_OP_CLASSES
#include "moe/Dialect/NN/IR/NNOps.h.inc"
#endif // MOE_DIALECT_NN_IR_NN_H
