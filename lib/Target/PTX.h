//===- PTX.h - From nvvm kernels to PTX -------------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_TARGET_PTX_H
#define MOE_LIB_TARGET_PTX_H
#include "Emit.h"

namespace mlir::moe {

/// What the compiler knows of a device.
struct DeviceFacts {
  StringLiteral name;
  /// Compute capability times ten.
  unsigned level;
  /// Code runs on this compute capability alone.
  bool exact;
  /// The PTX version that LLVM writes: older drivers can read it.
  StringLiteral features;
  /// Bytes that a block can ask for.
  unsigned maxShared;
  /// Blocks that every device of the kind can run as one cluster; 1: none.
  unsigned maxCluster;
};

/// Every device that code can be made for.
ArrayRef<DeviceFacts> getDevices();
/// `level` must be that of one of them.
const DeviceFacts &getDevice(unsigned level);

struct Kernel : KernelFigures {
  /// Stack and spills are not an error.
  bool allowStack = false;
};

/// The kernels of one device. Has an LLVMContext of its own, so that devices
/// can be compiled at the same time.
class DeviceCode {
public:
  explicit DeviceCode(const Device &device);

  /// Takes the only gpu.module, in llvm and nvvm dialect, out of `module` and
  /// translates it. Not to be called from two threads for one MLIRContext.
  llvm::Error translate(ModuleOp module);

  /// Optimises and prints LLVM IR (CodeFormat::LLVM) or PTX, on any thread.
  /// Kernels call nothing then.
  llvm::Error emit(CodeFormat format, SmallVectorImpl<char> &output);

  /// In the order of their numbers.
  std::vector<Kernel> kernels;

private:
  llvm::Error compile(CodeFormat format, SmallVectorImpl<char> &output);

  const DeviceFacts &facts;
  /// What the back end complained about.
  std::string errors;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
};

} // namespace mlir::moe
#endif // MOE_LIB_TARGET_PTX_H
