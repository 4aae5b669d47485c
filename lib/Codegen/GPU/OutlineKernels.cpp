//===- OutlineKernels.cpp - GPU kernels of loops --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "../Context.h"
#include "KernelBuilder.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kThreads = 128;

/// What stays on the host: launches, calls, views, tensor maps and places of
/// memory.
static bool isHostOp(Operation *op) {
  return isa<gpu::LaunchFuncOp, func::CallOp, func::ReturnOp, ParameterRefOp,
             memref::AllocOp, memref::AllocaOp, scf::YieldOp,
             nvgpu::TmaCreateDescriptorOp>(op) ||
         isa<ViewLikeOpInterface>(op);
}

/// Whether the host must run `op` to get at something that it launches.
static bool isHostControl(Operation *op) {
  if (!isa<scf::ForOp, scf::IfOp>(op))
    return false;
  WalkResult found = op->walk([&](Operation *inner) {
    return isa<gpu::LaunchFuncOp, func::CallOp>(inner) ? WalkResult::interrupt()
                                                       : WalkResult::advance();
  });
  return found.wasInterrupted();
}

namespace {
class KernelOutliner {
public:
  explicit KernelOutliner(ModuleOp module)
      : module(module), kernels(module, GPUTarget()),
        converter(module.getContext()) {}

  LogicalResult run() {
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      // What lays weights out or tells sizes runs on the host.
      if (func.isExternal() || func->hasAttr(MoEDialect::kArenaLeavesAttr) ||
          isPackFunction(func))
        continue;
      prefix = func.getName().str();
      llvm::replace(prefix, '.', '_');
      if (failed(runOnBlock(func.getBody().front())))
        return failure();
    }
    return success();
  }

private:
  bool isPackFunction(func::FuncOp func) {
    return llvm::any_of(module.getOps<ParameterOp>(), [&](ParameterOp op) {
      auto pack = op->getAttrOfType<FlatSymbolRefAttr>("pack");
      return pack && pack.getValue() == func.getName();
    });
  }

  LogicalResult runOnBlock(Block &block) {
    SmallVector<Operation *> serial;
    llvm::SmallPtrSet<Value, 16> deviceValues;
    auto flush = [&]() -> LogicalResult {
      if (serial.empty())
        return success();
      SmallVector<Operation *> ops = std::move(serial);
      serial.clear();
      deviceValues.clear();
      return outlineSerial(ops);
    };
    for (Operation &op : llvm::make_early_inc_range(block)) {
      bool reads = llvm::any_of(op.getOperands(), [&](Value operand) {
        return deviceValues.contains(operand);
      });
      if (auto loop = dyn_cast<ParallelOp>(op); loop && !reads) {
        if (failed(flush()) || failed(outlineParallel(loop)))
          return failure();
        continue;
      }
      if (auto loop = dyn_cast<scf::ParallelOp>(op); loop && !reads) {
        if (failed(flush()) || failed(outlineParallel(loop)))
          return failure();
        continue;
      }
      if (isHostControl(&op)) {
        if (reads)
          return op.emitOpError(
              "depends on the device's memory, which the host cannot read");
        if (failed(flush()))
          return failure();
        for (Region &region : op.getRegions())
          for (Block &inner : region)
            if (failed(runOnBlock(inner)))
              return failure();
        continue;
      }
      if (isHostOp(&op)) {
        if (reads)
          return op.emitOpError(
              "depends on the device's memory, which the host cannot read");
        if (isa<gpu::LaunchFuncOp, func::CallOp, func::ReturnOp, scf::YieldOp>(
                op) &&
            failed(flush()))
          return failure();
        continue;
      }
      if (!reads && isMemoryEffectFree(&op))
        continue;
      serial.push_back(&op);
      deviceValues.insert_range(op.getResults());
    }
    return flush();
  }

  //===--------------------------------------------------------------------===//
  // Kernels
  //===--------------------------------------------------------------------===//

  /// What a kernel takes for one captured value: `captured`, then those sizes
  /// and strides of a memref that its type does not tell.
  struct Capture {
    Value value;
    unsigned first;
  };

  struct Outlined {
    SmallVector<Capture> captures;
    SmallVector<Value> arguments;
    SmallVector<Type> types;
  };

  /// Collects what `ops` use from outside, in order. Constants and stack
  /// buffers move into the kernel.
  LogicalResult collect(ArrayRef<Operation *> ops, Outlined &outlined,
                        SmallVectorImpl<Operation *> &moved) {
    llvm::SmallPtrSet<Operation *, 16> inside(llvm::from_range, ops);
    llvm::SetVector<Value> captures;
    auto isInside = [&](Operation *op) {
      for (; op; op = op->getParentOp())
        if (inside.contains(op))
          return true;
      return false;
    };
    for (Operation *op : ops) {
      op->walk([&](Operation *inner) {
        for (Value operand : inner->getOperands()) {
          Operation *owner = operand.getDefiningOp();
          if (!owner)
            owner = cast<BlockArgument>(operand).getOwner()->getParentOp();
          bool isArgumentInside =
              isa<BlockArgument>(operand) && isInside(owner);
          if (!isArgumentInside &&
              !(operand.getDefiningOp() && isInside(owner)))
            captures.insert(operand);
        }
      });
      for (Value result : op->getResults())
        for (Operation *user : result.getUsers())
          if (!isInside(user))
            return op->emitOpError("has a result that the host cannot read");
    }
    OpBuilder b(ops.back());
    Location loc = ops.back()->getLoc();
    for (Value value : captures) {
      Operation *producer = value.getDefiningOp();
      if (producer && (producer->hasTrait<OpTrait::ConstantLike>() ||
                       isa<memref::AllocaOp>(producer))) {
        moved.push_back(producer);
        continue;
      }
      Type type = value.getType();
      outlined.captures.push_back({value, unsigned(outlined.types.size())});
      outlined.arguments.push_back(value);
      if (auto memref = dyn_cast<MemRefType>(type)) {
        if (failed(addMemRef(b, loc, value, memref, outlined)))
          return failure();
        continue;
      }
      if (type.isIndex())
        type = b.getI64Type();
      if (!type.isInteger(64) && !type.isInteger(32) && !type.isF32())
        return ops.front()->emitOpError("uses a value of type ")
               << type << ", which no kernel takes";
      outlined.types.push_back(type);
    }
    return success();
  }

  LogicalResult addMemRef(OpBuilder &b, Location loc, Value value,
                          MemRefType type, Outlined &outlined) {
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(type.getStridesAndOffset(strides, offset)) ||
        (offset != 0 && ShapedType::isStatic(offset)))
      return emitError(loc, "no kernel takes a memref of type ") << type;
    outlined.types.push_back(LLVM::LLVMPointerType::get(b.getContext()));
    bool dense = type.getLayout().isIdentity();
    for (int64_t i = 0; i < type.getRank(); ++i) {
      if (!type.isDynamicDim(i))
        continue;
      outlined.arguments.push_back(memref::DimOp::create(b, loc, value, i));
      outlined.types.push_back(b.getI64Type());
    }
    if (dense || llvm::none_of(strides, ShapedType::isDynamic))
      return success();
    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, value);
    for (int64_t i = 0; i < type.getRank(); ++i) {
      if (ShapedType::isStatic(strides[i]))
        continue;
      outlined.arguments.push_back(metadata.getStrides()[i]);
      outlined.types.push_back(b.getI64Type());
    }
    return success();
  }

  /// The memref in the kernel: its arguments from `first` on tell what the type
  /// does not.
  Value rebuild(KernelBuilder &b, MemRefType type, unsigned first) {
    SmallVector<int64_t> strides;
    int64_t offset;
    (void)type.getStridesAndOffset(strides, offset);
    auto descriptor =
        MemRefDescriptor::poison(b, b.getLoc(), converter.convertType(type));
    Value data = b.argument(first++);
    descriptor.setAllocatedPtr(b, b.getLoc(), data);
    descriptor.setAlignedPtr(b, b.getLoc(), data);
    auto constant = [&](int64_t value) {
      return LLVM::ConstantOp::create(b, b.getI64Type(),
                                      b.getI64IntegerAttr(value));
    };
    descriptor.setOffset(b, b.getLoc(), constant(0));
    SmallVector<Value> sizes;
    for (int64_t i = 0; i < type.getRank(); ++i)
      sizes.push_back(type.isDynamicDim(i) ? b.argument(first++)
                                           : constant(type.getDimSize(i)));
    SmallVector<Value> steps(type.getRank());
    bool dense = type.getLayout().isIdentity();
    Value product = constant(1);
    for (int64_t i = type.getRank() - 1; dense && i >= 0; --i) {
      steps[i] = product;
      product = LLVM::MulOp::create(b, product, sizes[i]);
    }
    for (int64_t i = 0; !dense && i < type.getRank(); ++i)
      steps[i] = ShapedType::isStatic(strides[i]) ? Value(constant(strides[i]))
                                                  : b.argument(first++);
    for (int64_t i = 0; i < type.getRank(); ++i) {
      descriptor.setSize(b, b.getLoc(), i, sizes[i]);
      descriptor.setStride(b, b.getLoc(), i, steps[i]);
    }
    return castTo(b, b.getLoc(), type, descriptor);
  }

  /// Makes a kernel of `body`, or finds an equal one, and launches it on
  /// `threads` threads in front of `before`.
  LogicalResult emit(
      ArrayRef<Operation *> ops, Value threads, ArrayRef<Value> extraArguments,
      function_ref<void(KernelBuilder &, IRMapping &, ValueRange extra)> body) {
    Operation *before = ops.back();
    Outlined outlined;
    SmallVector<Operation *> moved;
    if (failed(collect(ops, outlined, moved)))
      return failure();
    unsigned firstExtra = outlined.types.size();
    for (Value value : extraArguments) {
      outlined.arguments.push_back(value);
      outlined.types.push_back(IntegerType::get(module.getContext(), 64));
    }
    std::string name;
    unsigned number = 0;
    do
      name = prefix + "_" + std::to_string(number++);
    while (kernels.getOp().lookupSymbol(name));
    KernelShape shape;
    shape.threads = threads ? kThreads : 1;
    LLVM::LLVMFuncOp kernel =
        kernels.getKernel(name, outlined.types, shape, [&](KernelBuilder &b) {
          IRMapping mapping;
          for (Operation *op : moved)
            b.clone(*op, mapping);
          for (const Capture &capture : outlined.captures) {
            Type type = capture.value.getType();
            Value value =
                isa<MemRefType>(type)
                    ? rebuild(b, cast<MemRefType>(type), capture.first)
                    : castTo(b, b.getLoc(), type, b.argument(capture.first));
            mapping.map(capture.value, value);
          }
          SmallVector<Value> extra;
          for (unsigned i = firstExtra; i < outlined.types.size(); ++i)
            extra.push_back(
                castTo(b, b.getLoc(), b.getIndexType(), b.argument(i)));
          body(b, mapping, extra);
        });
    // A stack slot that is not at the entry grows the frame in every loop.
    SmallVector<memref::AllocaOp> slots;
    kernel.walk([&](memref::AllocaOp op) { slots.push_back(op); });
    Block &entry = kernel.getBody().front();
    for (memref::AllocaOp slot : slots)
      slot->moveBefore(&entry, entry.begin());

    auto [known, isNew] = bodies.try_emplace(
        std::to_string(shape.threads) + printRegion(kernel.getBody()), kernel);
    if (!isNew) {
      kernel.erase();
      kernel = known->second;
    }
    OpBuilder b(before);
    Location loc = before->getLoc();
    SmallVector<Value> grid;
    if (threads)
      grid.push_back(arith::CeilDivUIOp::create(
          b, loc, threads, arith::ConstantIndexOp::create(b, loc, kThreads)));
    buildLaunch(b, loc, kernel, grid, outlined.arguments);
    for (Operation *op : llvm::reverse(ops))
      op->erase();
    return success();
  }

  /// Number of this thread in the whole grid.
  static Value getThread(KernelBuilder &b) {
    Value block = b.toI64(b.blockId()), thread = b.toI64(b.threadId());
    Value number = b.add(b.mul(block, b.i64(kThreads)), thread);
    return arith::IndexCastOp::create(b, b.getIndexType(), number);
  }

  LogicalResult outlineParallel(ParallelOp op) {
    return emit(op.getOperation(), op.getSize(), {},
                [&](KernelBuilder &b, IRMapping &mapping, ValueRange) {
                  Value i = getThread(b);
                  b.when(b.less(i, mapping.lookup(op.getSize())), [&] {
                    mapping.map(op.getBegin(), i);
                    mapping.map(op.getEnd(),
                                b.add(i, arith::ConstantIndexOp::create(b, 1)));
                    for (Operation &inner :
                         op.getBody().front().without_terminator())
                      b.clone(inner, mapping);
                  });
                });
  }

  LogicalResult outlineParallel(scf::ParallelOp op) {
    if (op.getNumReductions())
      return op.emitOpError("reduces, which no kernel is made for");
    OpBuilder host(op);
    Location loc = op.getLoc();
    SmallVector<Value> sizes;
    Value total = arith::ConstantIndexOp::create(host, loc, 1);
    for (auto [from, to, step] : llvm::zip_equal(
             op.getLowerBound(), op.getUpperBound(), op.getStep())) {
      Value span = arith::SubIOp::create(host, loc, to, from);
      sizes.push_back(arith::CeilDivUIOp::create(host, loc, span, step));
      total = arith::MulIOp::create(host, loc, total, sizes.back());
    }
    sizes.push_back(total);
    return emit(op.getOperation(), total, sizes,
                [&](KernelBuilder &b, IRMapping &mapping, ValueRange extra) {
                  Value i = getThread(b);
                  b.when(b.less(i, extra.back()), [&] {
                    // The last dimension is the one of neighbouring threads.
                    Value rest = i;
                    for (int64_t d = op.getNumLoops() - 1; d >= 0; --d) {
                      Value position = d ? b.rem(rest, extra[d]) : rest;
                      rest = d ? b.div(rest, extra[d]) : rest;
                      Value step = mapping.lookupOrDefault(op.getStep()[d]);
                      Value from =
                          mapping.lookupOrDefault(op.getLowerBound()[d]);
                      mapping.map(op.getInductionVars()[d],
                                  b.add(from, b.mul(position, step)));
                    }
                    for (Operation &inner : op.getBody()->without_terminator())
                      b.clone(inner, mapping);
                  });
                });
  }

  LogicalResult outlineSerial(ArrayRef<Operation *> ops) {
    return emit(
        ops, Value(), {},
        [&](KernelBuilder &b, IRMapping &mapping, ValueRange) {
          for (Operation *op : ops) {
            auto loop = dyn_cast<ParallelOp>(op);
            if (!loop) {
              b.clone(*op, mapping);
              continue;
            }
            // Its size is known on the device only.
            mapping.map(loop.getBegin(), arith::ConstantIndexOp::create(b, 0));
            mapping.map(loop.getEnd(), mapping.lookup(loop.getSize()));
            for (Operation &inner : loop.getBody().front().without_terminator())
              b.clone(inner, mapping);
          }
        });
  }

  ModuleOp module;
  KernelModule kernels;
  LLVMTypeConverter converter;
  std::string prefix;
  llvm::StringMap<LLVM::LLVMFuncOp> bodies;
};

struct OutlineKernelsPass : moe::impl::OutlineKernelsBase<OutlineKernelsPass> {
  void runOnOperation() override {
    if (failed(KernelOutliner(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
