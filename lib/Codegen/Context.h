//===- Context.h - The runtime's context in generated code ------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_CONTEXT_H
#define MOE_LIB_CODEGEN_CONTEXT_H
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir {
class LLVMTypeConverter;
namespace moe {

/// Fields of moe_abi_context.
enum class ContextField { ParallelFor = 0, Params = 1, Launch = 2 };

/// `value` as `type`, which the conversion to llvm takes for the same.
Value castTo(OpBuilder &b, Location loc, Type type, Value value);

/// A field (a pointer) of the context.
Value loadContextField(OpBuilder &b, Location loc, Value context,
                       ContextField field);

/// Gives the context as first argument to functions that use a parameter or
/// hold an op for which `needs` is true, and to all that call them.
void addContextArguments(ModuleOp module,
                         function_ref<bool(Operation *)> needs);

/// Fails, with an error, where a parameter_ref is not a memref.
LogicalResult checkParameterRefs(ModuleOp module);

/// parameter_ref -> the pointer in the context's table, as a memref. Needs
/// addContextArguments().
void lowerParameterRefs(ModuleOp module, LLVMTypeConverter &converter);

} // namespace moe
} // namespace mlir
#endif // MOE_LIB_CODEGEN_CONTEXT_H
