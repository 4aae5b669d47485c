//===- SelectKernels.cpp - A GPU kernel for each op -----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/IR/PatternMatch.h"
#include "moe/Codegen/Passes.h"
#include "moe/Conversion/ExpandElementwise.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/StringSwitch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_SELECTKERNELS
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

using Choice = LogicalResult (*)(Operation *, KernelModule &);

/// The first that takes an op has it.
static constexpr Choice kChoices[] = {
    selectWarpgroupProduct, selectProduct, selectRouter, selectPlan, selectRows,
    selectAttention,        selectDecoder};

namespace {
struct SelectKernelsPass : moe::impl::SelectKernelsBase<SelectKernelsPass> {
  using SelectKernelsBase::SelectKernelsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    GPUTarget target;
    if (failed(readTarget(target)))
      return signalPassFailure();
    KernelModule kernels(module, target);
    SmallVector<Operation *> ops;
    module.walk([&](DestinationOpInterface op) {
      if (op->getNumResults() == 0)
        ops.push_back(op);
    });
    for (Operation *op : ops)
      for (Choice choice : kChoices)
        if (kernels.isErased(op) || succeeded(choice(op, kernels)))
          break;
    // Epilogues have been cloned into the kernels.
    SmallVector<Operation *> elementwise;
    kernels.getOp().walk([&](Operation *op) {
      if (isElementwiseNN(op))
        elementwise.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *op : elementwise)
      if (failed(expandElementwise(rewriter, op))) {
        op->emitOpError("must be on f32 scalars or vectors, got ")
            << op->getResult(0).getType();
        return signalPassFailure();
      }
  }

private:
  LogicalResult readTarget(GPUTarget &target) {
    if (arch != 80 && arch != 90)
      return getOperation().emitError("no kernels for compute capability ")
             << int64_t(arch) << ", expected 80 or 90";
    target.arch = arch;
    auto named = llvm::StringSwitch<std::optional<Precision>>(precision)
                     .Case("f32", Precision::F32)
                     .Case("tf32", Precision::TF32)
                     .Case("bf16", Precision::BF16)
                     .Case("f16", Precision::F16)
                     .Default(std::nullopt);
    if (!named)
      return getOperation().emitError("no precision '")
             << precision << "', expected f32, tf32, bf16 or f16";
    target.precision = *named;
    target.deterministic = deterministic;
    return success();
  }
};
} // namespace
