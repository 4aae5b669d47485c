//===- Manifest.h - The note of a compiled library --------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_TARGET_MANIFEST_H
#define MOE_LIB_TARGET_MANIFEST_H
#include "PTX.h"
#include "moe/Target/ModuleInterface.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// Where a function's code is in moe_abi_library.functions; MOE_ABI_NONE:
/// there is none.
struct FunctionCode {
  uint32_t code, full, arena, arenaFull;
};

/// The parameters of one level and the code that lays each out.
struct LevelManifest {
  unsigned level; // 3 or 4; a device's: 80 or 90
  std::vector<ParameterLayout> params;
  std::vector<uint32_t> pack;
};

/// The parameters of one device and its kernels.
struct DeviceManifest {
  LevelManifest host; // level 80 or 90
  std::vector<Kernel> kernels;
  /// Empty: there was no ptxas.
  SmallVector<char, 0> cubin;
  SmallVector<char, 0> ptx;
};

/// The note's descriptor, length and hash still zero. Levels name the same
/// parameters with the same sources; devices have parameters of their own.
std::string buildManifest(const ModuleInterface &interface,
                          ArrayRef<FunctionCode> code,
                          ArrayRef<LevelManifest> levels,
                          ArrayRef<DeviceManifest> devices);

/// Fills in length and hash of a linked file.
llvm::Error sealManifest(MutableArrayRef<char> file);

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_MANIFEST_H
