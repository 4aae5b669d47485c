//===- KernelBuilder.h - The words in which kernels are written -*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_KERNELBUILDER_H
#define MOE_LIB_CODEGEN_GPU_KERNELBUILDER_H
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "moe/Codegen/GPU/Target.h"

namespace mlir::moe {

/// What a kernel is launched with, apart from its grid.
struct KernelShape {
  /// Threads per block, along x alone.
  int64_t threads = 128;
  /// Bytes of shared memory beyond what globals take.
  int64_t dynamicShared = 0;
  /// Blocks per cluster, along x alone.
  int64_t cluster = 1;
  /// Blocks per multiprocessor to leave registers for; 0: no wish.
  int64_t minBlocks = 0;
  /// Of a kernel whose blocks take work until there is none: how many of them a
  /// multiprocessor holds at once. The grid is a bound then, which the runtime
  /// cuts to what the device holds. 0: each block of the grid has its work.
  int64_t residentBlocks = 0;
  /// From sm_90 on a kernel may start before the one in front has ended: it
  /// waits for that first of all, or, if this is set, where its body says.
  bool waitsItself = false;
};

/// Builds the body of one kernel in the llvm, nvvm, arith, math and scf
/// dialects. Pointers are opaque; address spaces are those of NVVM (1 global, 3
/// shared). Indices within a kernel are i32 unless a product may exceed it;
/// arguments that are sizes arrive as i64.
class KernelBuilder : public ImplicitLocOpBuilder {
public:
  KernelBuilder(Location loc, LLVM::LLVMFuncOp kernel);

  Value argument(unsigned i) { return kernel.getArgument(i); }
  LLVM::LLVMFuncOp getKernel() { return kernel; }

  // Constants.
  Value i1(bool value);
  Value i32(int64_t value);
  Value i64(int64_t value);
  Value f32(double value);

  // Numbers; operands of equal type, integers unsigned in div, rem and min.
  Value add(Value a, Value b) { return createOrFold<arith::AddIOp>(a, b); }
  Value sub(Value a, Value b) { return createOrFold<arith::SubIOp>(a, b); }
  Value mul(Value a, Value b) { return createOrFold<arith::MulIOp>(a, b); }
  Value div(Value a, Value b) { return createOrFold<arith::DivUIOp>(a, b); }
  Value rem(Value a, Value b) { return createOrFold<arith::RemUIOp>(a, b); }
  Value min(Value a, Value b) { return createOrFold<arith::MinUIOp>(a, b); }
  Value bitAnd(Value a, Value b) { return createOrFold<arith::AndIOp>(a, b); }
  Value bitOr(Value a, Value b) { return createOrFold<arith::OrIOp>(a, b); }
  Value bitXor(Value a, Value b) { return createOrFold<arith::XOrIOp>(a, b); }
  Value shl(Value a, int64_t bits);
  Value shr(Value a, int64_t bits); // zeros come in
  Value compare(arith::CmpIPredicate predicate, Value a, Value b) {
    return createOrFold<arith::CmpIOp>(predicate, a, b);
  }
  Value less(Value a, Value b) {
    return compare(arith::CmpIPredicate::ult, a, b);
  }
  Value select(Value condition, Value a, Value b) {
    return createOrFold<arith::SelectOp>(condition, a, b);
  }
  Value toI32(Value value); // from i64, i32 or index
  Value toI64(Value value); // zero-extends
  Value addF(Value a, Value b) { return arith::AddFOp::create(*this, a, b); }
  Value subF(Value a, Value b) { return arith::SubFOp::create(*this, a, b); }
  Value mulF(Value a, Value b) { return arith::MulFOp::create(*this, a, b); }
  Value divF(Value a, Value b) { return arith::DivFOp::create(*this, a, b); }
  Value maxF(Value a, Value b) {
    return arith::MaximumFOp::create(*this, a, b);
  }
  Value fma(Value a, Value b, Value c) {
    return math::FmaOp::create(*this, a, b, c);
  }
  /// f16 or bf16 to f32, exact; f32 stays.
  Value widen(Value value);
  /// The vector of these elements, and the elements of a vector.
  Value pack(ValueRange elements);
  SmallVector<Value> unpack(Value vector);

  // Where the thread is; i32.
  Value threadId();
  Value blockId(unsigned dimension = 0);
  Value gridSize(unsigned dimension = 0);
  Value laneId();
  /// threadId() / 32, known to be the same in the whole warp.
  Value warpId();

  // Memory.
  LLVM::LLVMPointerType pointer(unsigned space = 0) {
    return LLVM::LLVMPointerType::get(getContext(), space);
  }
  /// Address of element `index` (i32 or i64, zero-extended) of an array of
  /// `element` at `base`.
  Value at(Type element, Value base, Value index);
  Value load(Type type, Value address, int64_t alignment = 0);
  void store(Value value, Value address, int64_t alignment = 0);
  /// A pointer that is known to lie in global memory.
  Value global(Value generic);
  /// A new array in shared memory, of static size.
  Value sharedArray(Type element, int64_t size, int64_t alignment = 16);
  /// Start of the dynamic shared memory, aligned to 1024 bytes.
  Value dynamicShared();

  // Inline assembly, never moved or dropped.
  void assemble(StringRef text, StringRef constraints, ValueRange operands);
  /// The f32 `values` as a struct, read and written by `text` as far as LLVM
  /// knows: what computes them stays in front of it, what reads them behind.
  Value assembleTied(StringRef text, ValueRange values,
                     StringRef clobbers = "");

  // Control flow.
  void barrier(); // of all threads of the block
  /// Programmatic dependent launch (PTX ISA, "griddepcontrol"); from sm_90 on.
  /// What earlier kernels wrote may be read behind this.
  void waitForEarlierKernels();
  /// The kernel behind this one may start when all blocks have said so.
  void startNextKernel();
  void loop(Value from, Value to, Value step, function_ref<void(Value)> body);
  SmallVector<Value>
  reduce(Value from, Value to, Value step, ValueRange inits,
         function_ref<SmallVector<Value>(Value, ValueRange)> body);
  void when(Value condition, function_ref<void()> body);
  SmallVector<Value> pick(Value condition, TypeRange types,
                          function_ref<SmallVector<Value>()> ifTrue,
                          function_ref<SmallVector<Value>()> ifFalse);
  /// Value of lane `lane ^ mask`; i32 or f32.
  Value shuffleXor(Value value, int64_t mask);
  Value shuffle(Value value, Value lane);

private:
  LLVM::LLVMFuncOp kernel;
};

/// The kernels of a module: its nested `gpu.module @kernels`.
class KernelModule {
public:
  KernelModule(ModuleOp module, const GPUTarget &target);

  const GPUTarget &getTarget() const { return target; }
  gpu::GPUModuleOp getOp() { return kernels; }

  /// The kernel of this name; `build` makes its body, all but the return, when
  /// it is asked for the first time. The name must say all that `build` depends
  /// on. Argument types: pointers, i32, i64, f32, or a tensor map
  /// (getTensorMapType()).
  LLVM::LLVMFuncOp getKernel(StringRef name, TypeRange arguments,
                             const KernelShape &shape,
                             function_ref<void(KernelBuilder &)> build);

  /// Erases an op that a launch does the work of, so that it is not visited.
  void erase(Operation *op);
  /// Whether an op that the module had at first is gone.
  bool isErased(Operation *op) const { return erased.contains(op); }

  /// A name for what depends on a region or on other things that are too long
  /// to spell: `prefix` and a number that is the same for equal keys.
  std::string getName(StringRef prefix, StringRef key);

private:
  ModuleOp module;
  gpu::GPUModuleOp kernels;
  GPUTarget target;
  llvm::StringMap<unsigned> numbers;
  llvm::DenseSet<Operation *> erased;
};

/// Argument type of a tensor map: the kernel gets a pointer to 128 bytes that
/// are passed by value.
Type getTensorMapType(MLIRContext *context);

/// Launches `kernel` on `grid` blocks (index; fewer than three: the rest is 1).
/// A dense memref becomes the pointer to its first element, an index an i64;
/// result of nvgpu.tma.create.descriptor: a tensor map.
gpu::LaunchFuncOp buildLaunch(OpBuilder &b, Location loc,
                              LLVM::LLVMFuncOp kernel, ValueRange grid,
                              ValueRange arguments);

/// Whether the elements of each memref lie one behind the other.
bool hasDenseOperands(Operation *op);

/// Text that is equal for regions that do the same, as key of a name.
std::string printRegion(Region &region);

//===----------------------------------------------------------------------===//
// Choices. Each replaces `op` by launches and erases it; it fails, with the IR
// as it was, on what it has no kernel for: then loops are outlined.
//===----------------------------------------------------------------------===//

/// grouped_matmul, linear, router_logits.
LogicalResult selectProduct(Operation *op, KernelModule &kernels);
/// The same for sm_90a with tensor cores; tried first.
LogicalResult selectWarpgroupProduct(Operation *op, KernelModule &kernels);
/// The chain of stages from score to scale_by_expert that begins with `op`: all
/// of them are erased.
LogicalResult selectRouter(Operation *op, KernelModule &kernels);
/// plan, row_tiles, list_entries.
LogicalResult selectPlan(Operation *op, KernelModule &kernels);
/// combine_rows, gather_rows.
LogicalResult selectRows(Operation *op, KernelModule &kernels);
LogicalResult selectAttention(Operation *op, KernelModule &kernels);
/// rms_norm, embedding, rotary and the rest of a decoder.
LogicalResult selectDecoder(Operation *op, KernelModule &kernels);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_KERNELBUILDER_H
