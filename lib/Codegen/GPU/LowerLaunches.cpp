//===- LowerLaunches.cpp - Launches as calls of the runtime ---------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "../Context.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Target/ModuleInterface.h"
#include "moe_abi.h"

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERLAUNCHES
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// The dense memref that a tensor map describes, or nothing.
static Value getMappedMemRef(nvgpu::TmaCreateDescriptorOp op) {
  auto cast = op.getTensor().getDefiningOp<memref::CastOp>();
  if (!cast)
    return Value();
  auto type = dyn_cast<MemRefType>(cast.getSource().getType());
  return type && type.getLayout().isIdentity() ? cast.getSource() : Value();
}

static uint32_t getSwizzleBytes(nvgpu::TensorMapSwizzleKind kind) {
  switch (kind) {
  case nvgpu::TensorMapSwizzleKind::SWIZZLE_NONE:
    return 0;
  case nvgpu::TensorMapSwizzleKind::SWIZZLE_32B:
    return 32;
  case nvgpu::TensorMapSwizzleKind::SWIZZLE_64B:
    return 64;
  case nvgpu::TensorMapSwizzleKind::SWIZZLE_128B:
    return 128;
  }
  llvm_unreachable("all kinds are listed");
}

namespace {
class LaunchLowering {
public:
  explicit LaunchLowering(ModuleOp module)
      : module(module), converter(module.getContext()),
        pointer(LLVM::LLVMPointerType::get(module.getContext())),
        i32(IntegerType::get(module.getContext(), 32)),
        i64(IntegerType::get(module.getContext(), 64)) {
    auto array = [](Type type, unsigned size) {
      return LLVM::LLVMArrayType::get(type, size);
    };
    MLIRContext *context = module.getContext();
    launchType = LLVM::LLVMStructType::getLiteral(
        context, {i32, i32, array(i64, 3), pointer, pointer});
    mapType = LLVM::LLVMStructType::getLiteral(
        context, {i64, i32, i32, array(i64, MOE_ABI_MAX_MAP_RANK),
                  array(i64, MOE_ABI_MAX_MAP_RANK - 1),
                  array(i32, MOE_ABI_MAX_MAP_RANK), i32});
  }

  LogicalResult run() {
    for (auto kernels : module.getOps<gpu::GPUModuleOp>())
      for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>())
        if (kernel->hasAttr(gpu::GPUDialect::getKernelFuncAttrName()))
          numbers.try_emplace(kernel, numbers.size());
    SmallVector<gpu::LaunchFuncOp> launches;
    module.walk([&](gpu::LaunchFuncOp op) { launches.push_back(op); });
    if (failed(checkParameterRefs(module)))
      return failure();
    for (gpu::LaunchFuncOp op : launches)
      if (failed(check(op)))
        return failure();
    addContextArguments(
        module, [](Operation *op) { return isa<gpu::LaunchFuncOp>(op); });
    lowerParameterRefs(module, converter);
    for (gpu::LaunchFuncOp op : launches)
      lower(op);
    SmallVector<nvgpu::TmaCreateDescriptorOp> maps;
    module.walk([&](nvgpu::TmaCreateDescriptorOp op) { maps.push_back(op); });
    for (nvgpu::TmaCreateDescriptorOp op : maps) {
      auto cast = op.getTensor().getDefiningOp<memref::CastOp>();
      op.erase();
      if (cast.use_empty())
        cast.erase();
    }
    return success();
  }

private:
  LLVM::LLVMFuncOp getKernel(gpu::LaunchFuncOp op) {
    return SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
        op, op.getKernelAttr());
  }

  LogicalResult check(gpu::LaunchFuncOp op) {
    LLVM::LLVMFuncOp kernel = getKernel(op);
    if (!kernel || !numbers.contains(kernel))
      return op.emitOpError("launches ")
             << op.getKernel() << ", which is no kernel of this module";
    if (op.getAsyncToken() || !op.getAsyncDependencies().empty())
      return op.emitOpError("must not be async: launches are in order");
    if (kernel.getNumArguments() != op.getNumKernelOperands())
      return op.emitOpError("passes ")
             << op.getNumKernelOperands() << " arguments, but "
             << op.getKernel() << " takes " << kernel.getNumArguments();
    for (Value argument : op.getKernelOperands())
      if (failed(checkArgument(op, argument)))
        return failure();
    return success();
  }

  LogicalResult checkArgument(gpu::LaunchFuncOp op, Value argument) {
    Type type = argument.getType();
    if (type.isIndex() || type.isInteger(32) || type.isInteger(64) ||
        type.isF32())
      return success();
    if (isa<MemRefType>(type))
      return success();
    if (isa<nvgpu::TensorMapDescriptorType>(type)) {
      auto map = argument.getDefiningOp<nvgpu::TmaCreateDescriptorOp>();
      if (map && getMappedMemRef(map) &&
          map.getBoxDimensions().size() ==
              size_t(
                  cast<MemRefType>(getMappedMemRef(map).getType()).getRank()))
        return success();
      return op.emitOpError("needs the tensor map of a dense memref");
    }
    return op.emitOpError("cannot pass a value of type ") << type;
  }

  /// A stack slot of the function that holds `op`.
  Value allocate(Operation *op, Type type) {
    auto func = op->getParentOfType<func::FuncOp>();
    OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
    Value one =
        LLVM::ConstantOp::create(b, op->getLoc(), i64, b.getI64IntegerAttr(1));
    return LLVM::AllocaOp::create(b, op->getLoc(), pointer, type, one);
  }

  static Value number(OpBuilder &b, Location loc, Type type, int64_t value) {
    return LLVM::ConstantOp::create(b, loc, type,
                                    b.getIntegerAttr(type, value));
  }

  void storeField(OpBuilder &b, Location loc, Value value, Type type,
                  Value base, ArrayRef<LLVM::GEPArg> path) {
    Value address = LLVM::GEPOp::create(b, loc, pointer, type, base, path);
    LLVM::StoreOp::create(b, loc, value, address);
  }

  /// Address of the first element of a memref.
  Value getData(OpBuilder &b, Location loc, Value memref) {
    auto type = cast<MemRefType>(memref.getType());
    MemRefDescriptor descriptor(
        castTo(b, loc, converter.convertType(type), memref));
    return descriptor.bufferPtr(b, loc, converter, type);
  }

  /// Fills in a moe_abi_tensor_map. MLIR counts dimensions from the outermost.
  Value describeMap(OpBuilder &b, Location loc,
                    nvgpu::TmaCreateDescriptorOp op) {
    Value memref = getMappedMemRef(op);
    auto type = cast<MemRefType>(memref.getType());
    int64_t rank = type.getRank();
    Value map = allocate(op, mapType);
    auto set = [&](Value value, ArrayRef<LLVM::GEPArg> path) {
      storeField(b, loc, value, mapType, map, path);
    };
    Value data = getData(b, loc, memref);
    set(LLVM::PtrToIntOp::create(b, loc, i64, data), {0, 0});
    set(number(b, loc, i32, *getInterfaceType(type.getElementType())), {0, 1});
    set(number(b, loc, i32, rank), {0, 2});
    Value stride = number(b, loc, i64, type.getElementTypeBitWidth() / 8);
    for (int32_t i = 0; i < rank; ++i) {
      Value size = memref::DimOp::create(b, loc, memref, rank - 1 - i);
      Value extent = castTo(b, loc, i64, size);
      set(extent, {0, 3, i});
      if (i > 0)
        set(stride, {0, 4, i - 1});
      stride = LLVM::MulOp::create(b, loc, stride, extent);
      Value box = castTo(b, loc, i64, op.getBoxDimensions()[rank - 1 - i]);
      set(LLVM::TruncOp::create(b, loc, i32, box), {0, 5, i});
    }
    auto mapping = op.getTensorMap().getType();
    set(number(b, loc, i32, getSwizzleBytes(mapping.getSwizzle())), {0, 6});
    return map;
  }

  void lower(gpu::LaunchFuncOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto arguments = op.getKernelOperands();
    int32_t count = arguments.size();
    auto table = LLVM::LLVMArrayType::get(pointer, std::max(count, 1));
    Value values = allocate(op, table);
    Value null = LLVM::ZeroOp::create(b, loc, pointer);
    Value maps;
    if (llvm::any_of(arguments, [](Value argument) {
          return isa<nvgpu::TensorMapDescriptorType>(argument.getType());
        }))
      maps = allocate(op, table);
    for (int32_t i = 0; i < count; ++i) {
      Value argument = arguments[i], slot = null, map = null;
      if (isa<nvgpu::TensorMapDescriptorType>(argument.getType())) {
        map = describeMap(
            b, loc, argument.getDefiningOp<nvgpu::TmaCreateDescriptorOp>());
      } else {
        Value value =
            isa<MemRefType>(argument.getType())
                ? getData(b, loc, argument)
                : castTo(b, loc, converter.convertType(argument.getType()),
                         argument);
        slot = allocate(op, value.getType());
        LLVM::StoreOp::create(b, loc, value, slot);
      }
      storeField(b, loc, slot, table, values, {0, i});
      if (maps)
        storeField(b, loc, map, table, maps, {0, i});
    }

    Value launch = allocate(op, launchType);
    auto set = [&](Value value, ArrayRef<LLVM::GEPArg> path) {
      storeField(b, loc, value, launchType, launch, path);
    };
    set(number(b, loc, i32, numbers.lookup(getKernel(op))), {0, 0});
    set(number(b, loc, i32, count), {0, 1});
    gpu::KernelDim3 grid = op.getGridSizeOperandValues();
    set(castTo(b, loc, i64, grid.x), {0, 2, 0});
    set(castTo(b, loc, i64, grid.y), {0, 2, 1});
    set(castTo(b, loc, i64, grid.z), {0, 2, 2});
    set(values, {0, 3});
    set(maps ? maps : null, {0, 4});

    Value context = op->getParentOfType<func::FuncOp>().getArgument(0);
    Value callee = loadContextField(b, loc, context, ContextField::Launch);
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(b.getContext()), {pointer, pointer});
    LLVM::CallOp::create(b, loc, type, ValueRange{callee, context, launch});
    op.erase();
  }

  ModuleOp module;
  LLVMTypeConverter converter;
  Type pointer, i32, i64;
  Type launchType, mapType;
  llvm::DenseMap<Operation *, int64_t> numbers;
};

struct LowerLaunchesPass : moe::impl::LowerLaunchesBase<LowerLaunchesPass> {
  void runOnOperation() override {
    if (failed(LaunchLowering(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
