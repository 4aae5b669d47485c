//===- LoopBuilder.cpp - The words in which loops are written -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::moe;

Value LoopBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}
Value LoopBuilder::i32(int64_t value) {
  return arith::ConstantIntOp::create(*this, value, 32);
}
Value LoopBuilder::f32(double value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}
Value LoopBuilder::splat(Value value, int64_t width) {
  if (width == 1)
    return value;
  return vector::BroadcastOp::create(
      *this, VectorType::get({width}, value.getType()), value);
}

Value LoopBuilder::dim(Value memref, int64_t i) {
  int64_t size = sizeOf(memref, i);
  if (ShapedType::isStatic(size))
    return index(size);
  return memref::DimOp::create(*this, memref, i);
}
Value LoopBuilder::rowsPerSequence(Value rows, Value sequences) {
  return div(rows, max(sequences, index(1)));
}

bool LoopBuilder::isContiguous(Value memref) {
  return cast<MemRefType>(memref.getType()).isLastDimUnitStride();
}

Value LoopBuilder::load(Value memref, ValueRange at, int64_t width) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  Value value;
  if (width == 1)
    value = memref::LoadOp::create(*this, memref, at);
  else
    value = vector::LoadOp::create(*this, VectorType::get({width}, element),
                                   memref, at);
  if (!isa<FloatType>(element) || element.isF32())
    return value;
  Type wide = getF32Type();
  if (width != 1)
    wide = VectorType::get({width}, wide);
  return arith::ExtFOp::create(*this, wide, value);
}
Value LoopBuilder::loadIndex(Value memref, ValueRange at) {
  return arith::IndexCastOp::create(*this, getIndexType(),
                                    memref::LoadOp::create(*this, memref, at));
}
void LoopBuilder::store(Value value, Value memref, ValueRange at) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  if (auto wide = dyn_cast<FloatType>(getElementTypeOrSelf(value));
      wide && wide.getWidth() > element.getIntOrFloatBitWidth()) {
    Type type = element;
    if (auto vector = dyn_cast<VectorType>(value.getType()))
      type = vector.clone(element);
    value = arith::TruncFOp::create(*this, type, value);
  }
  if (isa<VectorType>(value.getType())) {
    vector::StoreOp::create(*this, value, memref, at);
    return;
  }
  if (value.getType().isIndex())
    value = arith::IndexCastOp::create(*this, element, value);
  memref::StoreOp::create(*this, value, memref, at);
}
Value LoopBuilder::scratch(ArrayRef<int64_t> shape) {
  // Never inside a loop: the stack would grow with every iteration.
  Operation *op = getInsertionBlock()->getParentOp();
  while (!isa<ParallelOp, FunctionOpInterface>(op))
    op = op->getParentOp();
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&op->getRegion(0).front());
  return memref::AllocaOp::create(*this, MemRefType::get(shape, getF32Type()),
                                  getI64IntegerAttr(64));
}

void LoopBuilder::parallel(Value size, function_ref<void(Value)> body) {
  if (threads == Threads::None)
    return loop(size, body);
  auto parallel = ParallelOp::create(*this, size);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&parallel.getBody().front());
  loop(parallel.getBegin(), parallel.getEnd(), body);
}
void LoopBuilder::lightParallel(Value size, function_ref<void(Value)> body) {
  if (threads == Threads::Device)
    parallel(size, body);
  else
    loop(size, body);
}
void LoopBuilder::loop(Value from, Value to, Value step,
                       function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(*this, from, to, step);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}
SmallVector<Value>
LoopBuilder::reduce(Value from, Value to, Value step, ValueRange inits,
                    function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(*this, from, to, step, inits);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  scf::YieldOp::create(*this,
                       body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return SmallVector<Value>(loop.getResults());
}
Value LoopBuilder::reduce(Value from, Value to, Value init,
                          function_ref<Value(Value, Value)> body) {
  return reduce(from, to, index(1), init,
                [&](Value i, ValueRange accumulators) {
                  return SmallVector<Value>{body(i, accumulators[0])};
                })[0];
}
void LoopBuilder::when(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  body();
}
Value LoopBuilder::pick(Value condition, Value otherwise,
                        function_ref<Value()> body) {
  auto branch = scf::IfOp::create(*this, otherwise.getType(), condition,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(*this, body());
  setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(*this, otherwise);
  return branch.getResult(0);
}

void LoopBuilder::columns(Value size, ValueRange memrefs,
                          function_ref<void(Value, int64_t)> body) {
  Value whole = index(0);
  if (llvm::all_of(memrefs, &LoopBuilder::isContiguous)) {
    whole = sub(size, rem(size, index(kLanes)));
    loop(index(0), whole, index(kLanes),
         [&](Value column) { body(column, kLanes); });
  }
  if (getConstantIntValue(whole) != getConstantIntValue(size) ||
      !getConstantIntValue(size))
    loop(whole, size, [&](Value column) { body(column, 1); });
}

Value LoopBuilder::dot(Value x, ArrayRef<Value> xAt, Value y,
                       ArrayRef<Value> yAt, Value size) {
  auto place = [&](ArrayRef<Value> start, Value column) {
    SmallVector<Value> at(start);
    at.back() = add(at.back(), column);
    return at;
  };
  auto lanesType = VectorType::get({kLanes}, getF32Type());
  Value zeros = splat(f32(0), kLanes);
  if (!isContiguous(x) || !isContiguous(y)) {
    // The same chains, one column at a time.
    Value chains = scratch({kLanes});
    store(zeros, chains, index(0));
    loop(size, [&](Value column) {
      Value lane = rem(column, index(kLanes));
      store(fma(load(x, place(xAt, column)), load(y, place(yAt, column)),
                load(chains, lane)),
            chains, lane);
    });
    return sumTree(load(chains, index(0), kLanes));
  }
  Value rest = rem(size, index(kLanes)), whole = sub(size, rest);
  Value sum = reduce(index(0), whole, index(kLanes), zeros,
                     [&](Value column, ValueRange chains) {
                       return SmallVector<Value>{
                           fma(load(x, place(xAt, column), kLanes),
                               load(y, place(yAt, column), kLanes), chains[0])};
                     })[0];
  if (getConstantIntValue(rest) != 0) {
    Value mask = vector::CreateMaskOp::create(
        *this, VectorType::get({kLanes}, getI1Type()), rest);
    auto loadRest = [&](Value memref, ArrayRef<Value> at) {
      return vector::MaskedLoadOp::create(*this, lanesType, memref,
                                          place(at, whole), mask, zeros);
    };
    sum = fma(loadRest(x, xAt), loadRest(y, yAt), sum);
  }
  return sumTree(sum);
}

Value LoopBuilder::tree(Value lanes,
                        function_ref<Value(Value, Value)> combine) {
  int64_t count = cast<VectorType>(lanes.getType()).getNumElements();
  for (; count > 1; count /= 2) {
    SmallVector<int64_t> low = llvm::to_vector(llvm::seq<int64_t>(count / 2)),
                         high = llvm::to_vector(
                             llvm::seq<int64_t>(count / 2, count));
    lanes = combine(vector::ShuffleOp::create(*this, lanes, lanes, low),
                    vector::ShuffleOp::create(*this, lanes, lanes, high));
  }
  return vector::ExtractOp::create(*this, lanes, 0);
}
