//===- Ptxas.h - The assembler for GPUs -------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_TARGET_PTXAS_H
#define MOE_LIB_TARGET_PTXAS_H
#include "PTX.h"

namespace mlir::moe {

struct Assembly {
  SmallVector<char, 0> cubin;
  /// What a kernel was allowed.
  std::vector<std::string> warnings;
};

/// Runs `options.ptxas` on the PTX of `device` and fills in the kernels'
/// figures. Fails where a kernel has a stack or spills, or ptxas says that it
/// made the code slower than it is written. Any thread may call this.
llvm::Expected<Assembly> assemble(const Device &device, StringRef ptx,
                                  MutableArrayRef<Kernel> kernels,
                                  const CompileOptions &options);

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_PTXAS_H
