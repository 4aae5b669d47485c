//===- Interpreter.cpp - Host tensors and the executor --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Interpreter/Interpreter.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/ScopeExit.h"
#include <cstdlib>
#include <cstring>
#include <limits>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// HostTensor
//===----------------------------------------------------------------------===//

HostTensor::Storage::~Storage() {
  if (used)
    *used -= sizeBytes;
  std::free(data);
}

/// Integers nobody has set: out of range as index, id, offset and length.
static constexpr int64_t kUnset = 0x5a5a5a5a;

std::optional<HostTensor> HostTensor::create(Kind kind, ArrayRef<int64_t> shape,
                                             int64_t limit,
                                             std::shared_ptr<int64_t> used) {
  // Sizes of zero count as one: 2^60 empty rows are too many to visit.
  int64_t bounded = 1, numElements = 1;
  for (int64_t size : shape) {
    if (size < 0 ||
        llvm::MulOverflow(bounded, std::max<int64_t>(size, 1), bounded))
      return std::nullopt;
    numElements = size == 0 ? 0 : numElements * size;
  }
  int64_t elementBytes = kind == Kind::F32 ? 4 : 8, sizeBytes;
  if (llvm::MulOverflow(bounded, elementBytes, sizeBytes) || sizeBytes > limit)
    return std::nullopt;
  auto storage = std::make_shared<Storage>();
  storage->kind = kind;
  storage->data = std::malloc(sizeBytes);
  if (!storage->data)
    return std::nullopt;
  storage->sizeBytes = sizeBytes;
  if (used)
    *used += sizeBytes;
  storage->used = std::move(used);
  HostTensor tensor;
  tensor.storage = std::move(storage);
  tensor.shape.assign(shape.begin(), shape.end());
  if (kind == Kind::F32)
    llvm::fill(tensor.mutableData<float>(),
               std::numeric_limits<float>::quiet_NaN());
  else if (kind == Kind::F64)
    llvm::fill(tensor.mutableData<double>(),
               std::numeric_limits<double>::quiet_NaN());
  else
    llvm::fill(tensor.mutableData<int64_t>(), kUnset);
  return tensor;
}

HostTensor HostTensor::slice(int64_t first, int64_t count) const {
  HostTensor part = *this;
  int64_t size = ShapedType::getNumElements(getShape().drop_front());
  part.offset += first * size;
  part.shape[0] = count;
  return part;
}

HostTensor HostTensor::reshape(ArrayRef<int64_t> newShape) const {
  HostTensor other = *this;
  other.shape.assign(newShape.begin(), newShape.end());
  assert(other.getNumElements() == getNumElements() && "not a reshape");
  return other;
}

DenseElementsAttr HostTensor::toAttr(Type elementType) const {
  auto type = RankedTensorType::get(shape, elementType);
  if (auto floatType = dyn_cast<FloatType>(elementType)) {
    SmallVector<APFloat> elements;
    auto append = [&](auto value) {
      bool losesInfo;
      APFloat element(value);
      element.convert(floatType.getFloatSemantics(),
                      APFloat::rmNearestTiesToEven, &losesInfo);
      elements.push_back(element);
    };
    if (getKind() == Kind::F32)
      llvm::for_each(data<float>(), append);
    else
      llvm::for_each(data<double>(), append);
    return DenseElementsAttr::get(type, elements);
  }
  unsigned width =
      elementType.isIndex() ? 64 : elementType.getIntOrFloatBitWidth();
  return DenseElementsAttr::get(
      type, llvm::map_to_vector(ints(), [&](int64_t value) {
        return APInt(width, uint64_t(value), /*isSigned=*/false,
                     /*implicitTrunc=*/true);
      }));
}

//===----------------------------------------------------------------------===//
// Interpreter
//===----------------------------------------------------------------------===//

FailureOr<HostTensor>
Interpreter::checkAllocated(Operation *op, ArrayRef<int64_t> shape,
                            std::optional<HostTensor> tensor) {
  if (tensor)
    return *tensor;
  InFlightDiagnostic diagnostic =
      op->emitError("cannot be interpreted: a tensor of shape [");
  llvm::interleaveComma(shape, diagnostic);
  return diagnostic << "] does not fit into the " << kMaxBytes
                    << " bytes that tensors may have";
}

FailureOr<HostTensor> Interpreter::copy(Operation *op,
                                        const HostTensor &tensor) {
  FailureOr<HostTensor> result =
      checkAllocated(op, tensor.getShape(),
                     HostTensor::create(tensor.getKind(), tensor.getShape(),
                                        kMaxBytes - *used, used));
  if (failed(result))
    return failure();
  if (tensor.getKind() == HostTensor::Kind::F32)
    llvm::copy(tensor.data<float>(), result->mutableData<float>().begin());
  else if (tensor.getKind() == HostTensor::Kind::F64)
    llvm::copy(tensor.data<double>(), result->mutableData<double>().begin());
  else
    llvm::copy(tensor.ints(), result->mutableData<int64_t>().begin());
  return result;
}

FailureOr<HostTensor> Interpreter::getParameter(Operation *user,
                                                ParameterOp parameter) {
  auto it = parameterValues.find(parameter);
  if (it != parameterValues.end())
    return it->second;
  if (!parameters)
    return user->emitOpError("cannot be interpreted: no values are given for "
                             "parameter '")
           << parameter.getSymName() << "'";
  FailureOr<HostTensor> tensor = parameters(parameter);
  if (succeeded(tensor))
    parameterValues.try_emplace(parameter, *tensor);
  return tensor;
}

/// Whether `value` is what a value of `type` can be at run time.
static bool fits(const HostValue &value, Type type) {
  if (isa<AssignmentType>(type))
    return value.size() == 2 && value[0] && value[1];
  if (value.size() != 1 || !value[0])
    return false;
  auto tensor = dyn_cast<RankedTensorType>(type);
  return !tensor || succeeded(verifyCompatibleShape(value[0].getShape(),
                                                    tensor.getShape()));
}

static InFlightDiagnostic emitMisfit(Operation *op, const HostValue &value,
                                     Type type, StringRef what, unsigned i) {
  InFlightDiagnostic diagnostic = op->emitError();
  diagnostic << "cannot be interpreted: " << what << " " << i << " of type "
             << type << " got ";
  if (value.size() == 1 && value[0]) {
    diagnostic << "the shape [";
    llvm::interleaveComma(value[0].getShape(), diagnostic);
    return std::move(diagnostic << "]");
  }
  return std::move(diagnostic << "no value");
}

FailureOr<SmallVector<HostValue>>
Interpreter::run(func::FuncOp func, ArrayRef<HostValue> arguments) {
  if (func.isExternal() || !func.getBody().hasOneBlock())
    return func.emitError("cannot be interpreted: '")
           << func.getSymName() << "' must have a body of one block";
  if (func.getNumArguments() != arguments.size())
    return func.emitError("cannot be interpreted: '")
           << func.getSymName() << "' takes " << func.getNumArguments()
           << " arguments, got " << arguments.size();
  for (auto [i, argument] : llvm::enumerate(arguments))
    if (!fits(argument, func.getArgumentTypes()[i]))
      return emitMisfit(func, argument, func.getArgumentTypes()[i], "argument",
                        i);
  if (depth == kMaxDepth)
    return func.emitError("cannot be interpreted: calls nest deeper than ")
           << kMaxDepth;
  // Every call has values of its own.
  llvm::DenseMap<Value, HostValue> saved;
  std::swap(saved, values);
  ++depth;
  auto restore = llvm::scope_exit([&] {
    std::swap(saved, values);
    --depth;
  });
  return run(func.getBody().front(), arguments);
}

FailureOr<SmallVector<HostValue>>
Interpreter::run(Block &block, ArrayRef<HostValue> arguments) {
  for (auto [argument, value] :
       llvm::zip_equal(block.getArguments(), arguments))
    set(argument, value);
  for (Operation &op : block.without_terminator()) {
    if (++steps > kMaxSteps)
      return op.emitOpError("cannot be interpreted: more than ")
             << kMaxSteps << " ops were executed";
    auto interpretable = dyn_cast<InterpretableOpInterface>(&op);
    if (!interpretable)
      return op.emitOpError("cannot be interpreted: it has no model");
    for (Type type :
         llvm::concat<const Type>(op.getOperandTypes(), op.getResultTypes()))
      if (isa<BaseMemRefType, UnrankedTensorType, VectorType>(type))
        return op.emitOpError("cannot be interpreted: ")
               << type << " is neither a scalar nor a ranked tensor";
    for (OpResult result : op.getResults())
      values.erase(result);
    if (failed(interpretable.interpret(*this)))
      return failure();
    for (OpResult result : op.getResults()) {
      auto it = values.find(result);
      if (it == values.end() || !fits(it->second, result.getType()))
        return emitMisfit(&op, it == values.end() ? HostValue() : it->second,
                          result.getType(), "result", result.getResultNumber());
    }
  }
  return llvm::map_to_vector(block.getTerminator()->getOperands(),
                             [&](Value value) { return getValue(value); });
}
