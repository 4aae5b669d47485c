//===- KernelBuilder.cpp - The words in which kernels are written ---------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr unsigned kGlobal = 1, kShared = 3;
static constexpr StringLiteral kDynamicShared = "dynamic_shared";
/// CUtensorMap of the driver.
static constexpr int64_t kMapBytes = 128, kMapAlignment = 64;

//===----------------------------------------------------------------------===//
// KernelBuilder
//===----------------------------------------------------------------------===//

KernelBuilder::KernelBuilder(Location loc, LLVM::LLVMFuncOp kernel)
    : ImplicitLocOpBuilder(loc, kernel.getContext()), kernel(kernel) {
  setInsertionPointToStart(&kernel.getBody().front());
}

Value KernelBuilder::i1(bool value) {
  return arith::ConstantIntOp::create(*this, value, 1);
}
Value KernelBuilder::i32(int64_t value) {
  return arith::ConstantIntOp::create(*this, value, 32);
}
Value KernelBuilder::i64(int64_t value) {
  return arith::ConstantIntOp::create(*this, value, 64);
}
Value KernelBuilder::f32(double value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}

Value KernelBuilder::shl(Value a, int64_t bits) {
  return createOrFold<arith::ShLIOp>(
      a, arith::ConstantOp::create(*this, getIntegerAttr(a.getType(), bits)));
}
Value KernelBuilder::shr(Value a, int64_t bits) {
  return createOrFold<arith::ShRUIOp>(
      a, arith::ConstantOp::create(*this, getIntegerAttr(a.getType(), bits)));
}

Value KernelBuilder::toI32(Value value) {
  if (value.getType().isInteger(32))
    return value;
  if (value.getType().isIndex())
    return createOrFold<arith::IndexCastUIOp>(getI32Type(), value);
  return createOrFold<arith::TruncIOp>(getI32Type(), value);
}
Value KernelBuilder::toI64(Value value) {
  if (value.getType().isInteger(64))
    return value;
  if (value.getType().isIndex())
    return createOrFold<arith::IndexCastUIOp>(getI64Type(), value);
  return createOrFold<arith::ExtUIOp>(getI64Type(), value);
}

Value KernelBuilder::widen(Value value) {
  if (value.getType().isF32())
    return value;
  return arith::ExtFOp::create(*this, getF32Type(), value);
}

Value KernelBuilder::pack(ValueRange elements) {
  Value vector = LLVM::PoisonOp::create(
      *this, VectorType::get(elements.size(), elements[0].getType()));
  for (auto [i, element] : llvm::enumerate(elements))
    vector = LLVM::InsertElementOp::create(*this, vector, element, i32(i));
  return vector;
}

SmallVector<Value> KernelBuilder::unpack(Value vector) {
  int64_t count = cast<VectorType>(vector.getType()).getNumElements();
  return llvm::map_to_vector(llvm::seq(count), [&](int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(*this, vector, i32(i));
  });
}

static LLVM::InlineAsmOp buildAssembly(KernelBuilder &b, TypeRange results,
                                       StringRef text, StringRef constraints,
                                       ValueRange operands) {
  return LLVM::InlineAsmOp::create(
      b, results, operands, text, constraints, /*has_side_effects=*/true,
      /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      ArrayAttr());
}

void KernelBuilder::assemble(StringRef text, StringRef constraints,
                             ValueRange operands) {
  buildAssembly(*this, TypeRange(), text, constraints, operands);
}

Value KernelBuilder::assembleTied(StringRef text, ValueRange values,
                                  StringRef clobbers) {
  SmallVector<std::string> constraints(values.size(), "=f");
  for (size_t i = 0; i < values.size(); ++i)
    constraints.push_back(std::to_string(i));
  if (!clobbers.empty())
    constraints.push_back(clobbers.str());
  auto type = LLVM::LLVMStructType::getLiteral(
      getContext(), SmallVector<Type>(values.size(), getF32Type()));
  return buildAssembly(*this, type, text, llvm::join(constraints, ","), values)
      .getResult(0);
}

Value KernelBuilder::threadId() {
  return NVVM::ThreadIdXOp::create(*this, getI32Type());
}
Value KernelBuilder::blockId(unsigned dimension) {
  if (dimension == 0)
    return NVVM::BlockIdXOp::create(*this, getI32Type());
  if (dimension == 1)
    return NVVM::BlockIdYOp::create(*this, getI32Type());
  return NVVM::BlockIdZOp::create(*this, getI32Type());
}
Value KernelBuilder::gridSize(unsigned dimension) {
  if (dimension == 0)
    return NVVM::GridDimXOp::create(*this, getI32Type());
  if (dimension == 1)
    return NVVM::GridDimYOp::create(*this, getI32Type());
  return NVVM::GridDimZOp::create(*this, getI32Type());
}
Value KernelBuilder::laneId() { return bitAnd(threadId(), i32(31)); }
Value KernelBuilder::warpId() { return shuffle(shr(threadId(), 5), i32(0)); }

Value KernelBuilder::at(Type element, Value base, Value index) {
  return LLVM::GEPOp::create(*this, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{toI64(index)});
}
Value KernelBuilder::load(Type type, Value address, int64_t alignment) {
  return LLVM::LoadOp::create(*this, type, address, alignment);
}
void KernelBuilder::store(Value value, Value address, int64_t alignment) {
  LLVM::StoreOp::create(*this, value, address, alignment);
}
Value KernelBuilder::global(Value generic) {
  return LLVM::AddrSpaceCastOp::create(*this, pointer(kGlobal), generic);
}

Value KernelBuilder::sharedArray(Type element, int64_t size,
                                 int64_t alignment) {
  Operation *table = kernel->getParentOp();
  std::string name;
  unsigned number = 0;
  do
    name = (kernel.getName() + ".shared." + Twine(number++)).str();
  while (SymbolTable::lookupSymbolIn(table, name));
  OpBuilder b(kernel);
  LLVM::GlobalOp::create(
      b, kernel.getLoc(), LLVM::LLVMArrayType::get(element, size),
      /*isConstant=*/false, LLVM::Linkage::Internal, name,
      LLVM::PoisonAttr::get(getContext()), alignment, kShared);
  return LLVM::AddressOfOp::create(*this, pointer(kShared), name);
}

Value KernelBuilder::dynamicShared() {
  Operation *table = kernel->getParentOp();
  if (!SymbolTable::lookupSymbolIn(table, kDynamicShared)) {
    OpBuilder b = OpBuilder::atBlockBegin(&table->getRegion(0).front());
    LLVM::GlobalOp::create(
        b, kernel.getLoc(), LLVM::LLVMArrayType::get(getI8Type(), 0),
        /*isConstant=*/false, LLVM::Linkage::External, kDynamicShared,
        Attribute(), /*alignment=*/1024, kShared);
  }
  return LLVM::AddressOfOp::create(*this, pointer(kShared), kDynamicShared);
}

void KernelBuilder::waitForEarlierKernels() {
  NVVM::GriddepcontrolOp::create(
      *this, NVVM::GridDepActionKindAttr::get(getContext(),
                                              NVVM::GridDepActionKind::wait));
}

void KernelBuilder::startNextKernel() {
  NVVM::GriddepcontrolOp::create(
      *this, NVVM::GridDepActionKindAttr::get(
                 getContext(), NVVM::GridDepActionKind::launch_dependents));
}

void KernelBuilder::barrier() { NVVM::Barrier0Op::create(*this); }

void KernelBuilder::loop(Value from, Value to, Value step,
                         function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(*this, from, to, step);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}
SmallVector<Value> KernelBuilder::reduce(
    Value from, Value to, Value step, ValueRange inits,
    function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(*this, from, to, step, inits);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(*this,
                       body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return SmallVector<Value>(loop.getResults());
}
void KernelBuilder::when(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  body();
}
SmallVector<Value>
KernelBuilder::pick(Value condition, TypeRange types,
                    function_ref<SmallVector<Value>()> ifTrue,
                    function_ref<SmallVector<Value>()> ifFalse) {
  auto branch =
      scf::IfOp::create(*this, types, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(*this, ifTrue());
  setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(*this, ifFalse());
  return SmallVector<Value>(branch.getResults());
}

Value KernelBuilder::shuffleXor(Value value, int64_t mask) {
  return NVVM::ShflOp::create(*this, value.getType(), i32(-1), value, i32(mask),
                              i32(31), NVVM::ShflKind::bfly, UnitAttr());
}
Value KernelBuilder::shuffle(Value value, Value lane) {
  return NVVM::ShflOp::create(*this, value.getType(), i32(-1), value, lane,
                              i32(31), NVVM::ShflKind::idx, UnitAttr());
}

//===----------------------------------------------------------------------===//
// KernelModule
//===----------------------------------------------------------------------===//

KernelModule::KernelModule(ModuleOp module, const GPUTarget &target)
    : module(module), target(target) {
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                  UnitAttr::get(module.getContext()));
  for (auto found : module.getOps<gpu::GPUModuleOp>())
    kernels = found;
  if (kernels)
    return;
  auto b = OpBuilder::atBlockEnd(module.getBody());
  kernels = gpu::GPUModuleOp::create(b, module.getLoc(), "kernels");
}

LLVM::LLVMFuncOp
KernelModule::getKernel(StringRef name, TypeRange arguments,
                        const KernelShape &shape,
                        function_ref<void(KernelBuilder &)> build) {
  if (auto known = kernels.lookupSymbol<LLVM::LLVMFuncOp>(name))
    return known;
  MLIRContext *context = module.getContext();
  auto b = OpBuilder::atBlockEnd(kernels.getBody());
  Type map = getTensorMapType(context);
  auto types = llvm::map_to_vector(arguments, [&](Type type) -> Type {
    return type == map ? LLVM::LLVMPointerType::get(context) : type;
  });
  auto kernel = LLVM::LLVMFuncOp::create(
      b, module.getLoc(), name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types));
  for (auto [i, type] : llvm::enumerate(arguments)) {
    if (type != map)
      continue;
    kernel.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                      TypeAttr::get(map));
    kernel.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                      b.getUnitAttr());
    kernel.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                      b.getI64IntegerAttr(kMapAlignment));
  }
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                  b.getDenseI32ArrayAttr({int32_t(shape.threads), 1, 1}));
  if (shape.minBlocks)
    kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    b.getI32IntegerAttr(shape.minBlocks));
  if (shape.cluster > 1)
    kernel->setAttr(NVVM::NVVMDialect::getClusterDimAttrName(),
                    b.getDenseI32ArrayAttr({int32_t(shape.cluster), 1, 1}));
  if (shape.dynamicShared)
    kernel->setAttr(MoEDialect::kDynamicSharedAttr,
                    b.getI32IntegerAttr(shape.dynamicShared));
  if (shape.residentBlocks)
    kernel->setAttr(MoEDialect::kResidentBlocksAttr,
                    b.getI32IntegerAttr(shape.residentBlocks));
  kernel.addEntryBlock(b);
  KernelBuilder body(kernel.getLoc(), kernel);
  if (target.arch >= 90) {
    kernel->setAttr(MoEDialect::kOverlapsAttr, b.getUnitAttr());
    if (!shape.waitsItself) {
      body.waitForEarlierKernels();
      body.startNextKernel();
    }
  }
  build(body);
  LLVM::ReturnOp::create(body, ValueRange());
  return kernel;
}

void KernelModule::erase(Operation *op) {
  erased.insert(op);
  op->erase();
}

std::string KernelModule::getName(StringRef prefix, StringRef key) {
  auto [place, isNew] =
      numbers.try_emplace((prefix + "\n" + key).str(), numbers.size());
  return (prefix + "_" + Twine(place->second)).str();
}

Type moe::getTensorMapType(MLIRContext *context) {
  return LLVM::LLVMArrayType::get(IntegerType::get(context, 8), kMapBytes);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

gpu::LaunchFuncOp moe::buildLaunch(OpBuilder &b, Location loc,
                                   LLVM::LLVMFuncOp kernel, ValueRange grid,
                                   ValueRange arguments) {
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  auto block = cast<DenseI32ArrayAttr>(
      kernel->getAttr(NVVM::NVVMDialect::getReqntidAttrName()));
  gpu::KernelDim3 blocks = {grid.size() > 0 ? grid[0] : one,
                            grid.size() > 1 ? grid[1] : one,
                            grid.size() > 2 ? grid[2] : one};
  gpu::KernelDim3 threads = {arith::ConstantIndexOp::create(b, loc, block[0]),
                             one, one};
  auto module = kernel->getParentOfType<gpu::GPUModuleOp>();
  auto symbol = SymbolRefAttr::get(module.getSymNameAttr(),
                                   FlatSymbolRefAttr::get(kernel));
  return gpu::LaunchFuncOp::create(b, loc, symbol, blocks, threads,
                                   /*dynamicSharedMemorySize=*/Value(),
                                   arguments);
}

bool moe::hasDenseOperands(Operation *op) {
  return llvm::all_of(op->getOperandTypes(), [](Type type) {
    auto memref = dyn_cast<MemRefType>(type);
    return !memref || memref.getLayout().isIdentity();
  });
}

std::string moe::printRegion(Region &region) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  flags.printGenericOpForm().useLocalScope();
  for (Block &block : region) {
    for (BlockArgument argument : block.getArguments())
      os << argument.getType() << ",";
    for (Operation &op : block) {
      op.print(os, flags);
      os << "\n";
    }
  }
  return text;
}
