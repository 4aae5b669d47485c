//===- ModuleInterface.h - What a compiled module shows ---------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_TARGET_MODULEINTERFACE_H
#define MOE_TARGET_MODULEINTERFACE_H
#include "mlir/IR/BuiltinOps.h"
#include <string>
#include <vector>

namespace mlir::moe {

/// `value`, or `value` times symbol number `symbol` of the module.
struct InterfaceSize {
  std::optional<uint32_t> symbol;
  int64_t value;
};

/// A moe_abi_argument: role and dtype are the numbers of moe_abi.h.
struct InterfaceArgument {
  std::string name;
  uint32_t role = 0, dtype = 0;
  SmallVector<InterfaceSize, 4> shape;
  /// Argument that says how many entries of the first dimension are in use.
  std::optional<uint32_t> countArgument;
  /// Integer inputs: values lie in [0, limit); 0: any value.
  int64_t limit = 0;
};

struct InterfaceFunction {
  std::string name;
  /// Inputs, states and lengths in the order of the function's arguments, then
  /// the results that update no state.
  std::vector<InterfaceArgument> arguments;
  /// Some result is computed on demand only: there is code @NAME.full.
  bool hasOptional = false;
};

struct ModuleInterface {
  std::string model = "mlir";
  int64_t maxLength = 0, vocabSize = 0;
  /// "B", "S", ... and products such as "B*S".
  std::vector<std::string> symbols;
  std::vector<InterfaceFunction> functions;
};

/// The public functions of a level-1 module. Emits an error at the function
/// where something is missing or is more than the runtime takes.
FailureOr<ModuleInterface> buildModuleInterface(ModuleOp module);

/// A parameter as the code of one level wants it in memory.
struct ParameterLayout {
  std::string name;
  /// "plain bf16[128x768x2048]".
  std::string layout;
  uint64_t sizeBytes = 0;
  /// "pack.K", or empty: the sources' bytes one after another.
  std::string pack;
  /// Of #moe.source.
  ArrayAttr sources;
};

/// The attribute moe.params of a module in the llvm dialect.
FailureOr<std::vector<ParameterLayout>> readParameterLayouts(ModuleOp module);

/// The dtype number of moe_abi.h, if it has one.
std::optional<uint32_t> getInterfaceType(Type type);

} // namespace mlir::moe
#endif // MOE_TARGET_MODULEINTERFACE_H
