//===- UpstreamModels.cpp - Meaning of the upstream ops that we use -------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Models.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// arith, math
//===----------------------------------------------------------------------===//

/// `value` as an integer of this type holds it, sign extended; i1 is 0 or 1.
static int64_t wrap(int64_t value, Type type) {
  Type element = getElementTypeOrSelf(type);
  unsigned width = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
  if (width == 1)
    return value & 1;
  return width >= 64 ? value : llvm::SignExtend64(uint64_t(value), width);
}

static double toDouble(const APFloat &value) {
  APFloat wide = value;
  bool losesInfo;
  wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  return wide.convertToDouble();
}

template <typename R>
static LogicalResult interpret(arith::ConstantOp op, Interpreter &in) {
  Attribute value = op.getValue();
  auto elements = dyn_cast<DenseElementsAttr>(value);
  SmallVector<int64_t> shape;
  if (elements)
    shape = llvm::to_vector(elements.getType().getShape());
  Type type = elements ? elements.getElementType() : op.getType();
  if (isa<FloatType>(type) && (elements || isa<FloatAttr>(value))) {
    auto result = in.allocate<R>(op, shape);
    if (failed(result))
      return failure();
    MutableArrayRef<R> out = result->template mutableData<R>();
    if (!elements)
      out[0] = toDouble(cast<FloatAttr>(value).getValue());
    else
      for (auto [o, v] : llvm::zip_equal(out, elements.getValues<APFloat>()))
        o = toDouble(v);
    in.set(op, {*result});
    return success();
  }
  if ((type.isIndex() ||
       (type.isInteger() && type.getIntOrFloatBitWidth() <= 64)) &&
      (elements || isa<IntegerAttr>(value))) {
    auto result = in.allocate<int64_t>(op, shape);
    if (failed(result))
      return failure();
    MutableArrayRef<int64_t> out = result->template mutableData<int64_t>();
    if (!elements)
      out[0] = wrap(cast<IntegerAttr>(value).getValue().getSExtValue(), type);
    else
      for (auto [o, v] : llvm::zip_equal(out, elements.getValues<APInt>()))
        o = wrap(v.getSExtValue(), type);
    in.set(op, {*result});
    return success();
  }
  return op.emitOpError("cannot be interpreted: ")
         << op.getType()
         << " is neither a number nor a dense tensor of numbers";
}

/// Integer ops compute in 64 bits and wrap to their type.
#define MOE_INTEGER_OP(OpTy, expression)                                       \
  template <typename R>                                                        \
  static LogicalResult interpret(OpTy op, Interpreter &in) {                   \
    return mapElements2<int64_t>(op, in, [&](int64_t a, int64_t b) {           \
      [[maybe_unused]] uint64_t x = a, y = b;                                  \
      return wrap(int64_t(expression), op.getType());                          \
    });                                                                        \
  }
MOE_INTEGER_OP(arith::AddIOp, x + y)
MOE_INTEGER_OP(arith::SubIOp, x - y)
MOE_INTEGER_OP(arith::MulIOp, x *y)
MOE_INTEGER_OP(arith::AndIOp, x &y)
MOE_INTEGER_OP(arith::OrIOp, x | y)
MOE_INTEGER_OP(arith::XOrIOp, x ^ y)
MOE_INTEGER_OP(arith::MaxSIOp, std::max(a, b))
MOE_INTEGER_OP(arith::MinSIOp, std::min(a, b))
#undef MOE_INTEGER_OP

/// Division, where it is defined.
template <typename R, typename OpTy, typename Fn>
static LogicalResult divide(OpTy op, Interpreter &in, Fn fn) {
  for (int64_t y : in.get(op.getRhs()).ints())
    if (y == 0)
      return op.emitOpError("divides by zero");
  for (int64_t x : in.get(op.getLhs()).ints())
    if (x == std::numeric_limits<int64_t>::min())
      return op.emitOpError("cannot be interpreted: the dividend is ") << x;
  return mapElements2<int64_t>(op, in, [&](int64_t x, int64_t y) {
    return wrap(fn(x, y), op.getType());
  });
}
static int64_t floorDivide(int64_t x, int64_t y) {
  return x / y - (x % y != 0 && (x < 0) != (y < 0));
}
template <typename R>
static LogicalResult interpret(arith::DivSIOp op, Interpreter &in) {
  return divide<R>(op, in, [](int64_t x, int64_t y) { return x / y; });
}
template <typename R>
static LogicalResult interpret(arith::RemSIOp op, Interpreter &in) {
  return divide<R>(op, in, [](int64_t x, int64_t y) { return x % y; });
}
template <typename R>
static LogicalResult interpret(arith::FloorDivSIOp op, Interpreter &in) {
  return divide<R>(op, in, floorDivide);
}
template <typename R>
static LogicalResult interpret(arith::CeilDivSIOp op, Interpreter &in) {
  return divide<R>(op, in,
                   [](int64_t x, int64_t y) { return -floorDivide(-x, y); });
}

template <typename R>
static LogicalResult interpret(arith::CmpIOp op, Interpreter &in) {
  return mapElements2<int64_t>(op, in, [&](int64_t a, int64_t b) -> int64_t {
    uint64_t x = a, y = b;
    switch (op.getPredicate()) {
    case arith::CmpIPredicate::eq:
      return a == b;
    case arith::CmpIPredicate::ne:
      return a != b;
    case arith::CmpIPredicate::slt:
      return a < b;
    case arith::CmpIPredicate::sle:
      return a <= b;
    case arith::CmpIPredicate::sgt:
      return a > b;
    case arith::CmpIPredicate::sge:
      return a >= b;
    case arith::CmpIPredicate::ult:
      return x < y;
    case arith::CmpIPredicate::ule:
      return x <= y;
    case arith::CmpIPredicate::ugt:
      return x > y;
    case arith::CmpIPredicate::uge:
      return x >= y;
    }
    llvm_unreachable("unknown predicate");
  });
}

/// Conversions between integers: the value, wrapped.
#define MOE_INTEGER_CAST(OpTy)                                                 \
  template <typename R>                                                        \
  static LogicalResult interpret(OpTy op, Interpreter &in) {                   \
    return mapElements<int64_t>(                                               \
        op, in, [&](int64_t x) { return wrap(x, op.getType()); });             \
  }
MOE_INTEGER_CAST(arith::IndexCastOp)
MOE_INTEGER_CAST(arith::ExtSIOp)
MOE_INTEGER_CAST(arith::TruncIOp)
#undef MOE_INTEGER_CAST

#define MOE_FLOAT_OP(OpTy, expression)                                         \
  template <typename R>                                                        \
  static LogicalResult interpret(OpTy op, Interpreter &in) {                   \
    return mapElements<R>(op, in, [](R x) { return R(expression); });          \
  }
#define MOE_FLOAT_OP2(OpTy, expression)                                        \
  template <typename R>                                                        \
  static LogicalResult interpret(OpTy op, Interpreter &in) {                   \
    return mapElements2<R>(op, in, [](R x, R y) { return R(expression); });    \
  }
MOE_FLOAT_OP2(arith::AddFOp, x + y)
MOE_FLOAT_OP2(arith::SubFOp, x - y)
MOE_FLOAT_OP2(arith::MulFOp, x *y)
MOE_FLOAT_OP2(arith::DivFOp, x / y)
MOE_FLOAT_OP2(arith::MaximumFOp,
              std::isnan(x) || std::isnan(y) ? x + y : std::max(x, y))
MOE_FLOAT_OP2(arith::MinimumFOp,
              std::isnan(x) || std::isnan(y) ? x + y : std::min(x, y))
MOE_FLOAT_OP2(arith::MaxNumFOp, std::fmax(x, y))
MOE_FLOAT_OP2(arith::MinNumFOp, std::fmin(x, y))
MOE_FLOAT_OP(arith::NegFOp, -x)
MOE_FLOAT_OP(arith::ExtFOp, x)
MOE_FLOAT_OP(math::AbsFOp, std::abs(x))
MOE_FLOAT_OP(math::ErfOp, std::erf(x))
MOE_FLOAT_OP(math::ExpOp, std::exp(x))
MOE_FLOAT_OP(math::LogOp, std::log(x))
MOE_FLOAT_OP(math::Log1pOp, std::log1p(x))
MOE_FLOAT_OP(math::RsqrtOp, R(1) / std::sqrt(x))
MOE_FLOAT_OP(math::SqrtOp, std::sqrt(x))
MOE_FLOAT_OP(math::TanhOp, std::tanh(x))
#undef MOE_FLOAT_OP
#undef MOE_FLOAT_OP2

template <typename R>
static LogicalResult interpret(arith::TruncFOp op, Interpreter &in) {
  Type type = getElementTypeOrSelf(op.getType());
  return mapElements<R>(op, in, [&](R x) { return roundTo(type, x); });
}

template <typename R>
static LogicalResult interpret(arith::CmpFOp op, Interpreter &in) {
  using P = arith::CmpFPredicate;
  auto compare = [&](R x, R y) -> int64_t {
    bool unordered = std::isnan(x) || std::isnan(y);
    switch (op.getPredicate()) {
    case P::AlwaysFalse:
      return false;
    case P::AlwaysTrue:
      return true;
    case P::ORD:
      return !unordered;
    case P::UNO:
      return unordered;
    case P::OEQ:
      return x == y;
    case P::OGT:
      return x > y;
    case P::OGE:
      return x >= y;
    case P::OLT:
      return x < y;
    case P::OLE:
      return x <= y;
    case P::ONE:
      return !unordered && x != y;
    case P::UEQ:
      return unordered || x == y;
    case P::UGT:
      return unordered || x > y;
    case P::UGE:
      return unordered || x >= y;
    case P::ULT:
      return unordered || x < y;
    case P::ULE:
      return unordered || x <= y;
    case P::UNE:
      return x != y;
    }
    llvm_unreachable("unknown predicate");
  };
  return mapElements2<R, decltype(compare), int64_t>(op, in, compare);
}

template <typename T>
static LogicalResult select(arith::SelectOp op, Interpreter &in) {
  HostTensor condition = in.get(op.getCondition()),
             x = in.get(op.getTrueValue()), y = in.get(op.getFalseValue());
  // In an epilogue each of the three may be one value for all elements.
  SmallVector<int64_t> shape;
  for (const HostTensor &tensor : {condition, x, y}) {
    if (tensor.getRank() == 0)
      continue;
    if (!shape.empty() && ArrayRef(shape) != tensor.getShape())
      return op.emitOpError("operands differ in shape at run time");
    shape = llvm::to_vector(tensor.getShape());
  }
  auto result = in.allocate<T>(op, shape);
  if (failed(result))
    return failure();
  auto element = [](const HostTensor &tensor, size_t i) {
    return tensor.getRank() == 0 ? size_t(0) : i;
  };
  MutableArrayRef<T> out = result->template mutableData<T>();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = condition.ints()[element(condition, i)]
                 ? x.data<T>()[element(x, i)]
                 : y.data<T>()[element(y, i)];
  in.set(op, {*result});
  return success();
}
template <typename R>
static LogicalResult interpret(arith::SelectOp op, Interpreter &in) {
  Type type = getElementTypeOrSelf(op.getType());
  if (isa<FloatType>(type))
    return select<R>(op, in);
  if (type.isIntOrIndex())
    return select<int64_t>(op, in);
  // An assignment, or another value as a whole.
  if (in.get(op.getCondition()).getRank() != 0)
    return op.emitOpError("cannot be interpreted: the condition is a tensor");
  in.set(op, in.getValue(in.getInt(op.getCondition()) ? op.getTrueValue()
                                                      : op.getFalseValue()));
  return success();
}

template <typename R>
static LogicalResult interpret(arith::SIToFPOp op, Interpreter &in) {
  HostTensor x = in.get(op.getIn());
  auto result = in.allocate<R>(op, x.getShape());
  if (failed(result))
    return failure();
  for (auto [out, value] :
       llvm::zip_equal(result->template mutableData<R>(), x.ints()))
    out = R(value);
  in.set(op, {*result});
  return success();
}

//===----------------------------------------------------------------------===//
// tensor, linalg
//===----------------------------------------------------------------------===//

static bool isReal(Type type) {
  return isa<FloatType>(getElementTypeOrSelf(type));
}

/// A new tensor for a value of `type`.
template <typename R>
static FailureOr<HostTensor> allocateFor(Operation *op, Interpreter &in,
                                         Type type, ArrayRef<int64_t> shape) {
  return isReal(type) ? in.allocate<R>(op, shape)
                      : in.allocate<int64_t>(op, shape);
}

/// Sizes that are attributes or index operands.
static SmallVector<int64_t> getSizes(ArrayRef<OpFoldResult> sizes,
                                     Interpreter &in) {
  return llvm::map_to_vector(sizes, [&](OpFoldResult size) {
    if (auto value = dyn_cast<Value>(size))
      return in.getInt(value);
    return cast<IntegerAttr>(cast<Attribute>(size)).getInt();
  });
}

/// Calls `fn(i, j)` for the elements of a box of `sizes`: number i of it lies
/// at position j of a dense tensor of shape `shape`.
static LogicalResult forEachElement(Operation *op, ArrayRef<int64_t> shape,
                                    ArrayRef<int64_t> offsets,
                                    ArrayRef<int64_t> sizes,
                                    ArrayRef<int64_t> strides,
                                    function_ref<void(int64_t, int64_t)> fn) {
  int64_t count = 1;
  for (auto [d, size] : llvm::enumerate(sizes)) {
    int64_t last = 0;
    // Sizes were allocated, so their product is harmless.
    if (size < 0 || offsets[d] < 0 || strides[d] < 1 ||
        (size > 0 &&
         (llvm::MulOverflow(size - 1, strides[d], last) ||
          llvm::AddOverflow(last, offsets[d], last) || last >= shape[d])))
      return op->emitOpError("slice does not lie inside its tensor in "
                             "dimension ")
             << d;
    count *= size;
  }
  SmallVector<int64_t> index(sizes.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    int64_t position = 0;
    for (size_t d = 0; d < index.size(); ++d)
      position = position * shape[d] + offsets[d] + index[d] * strides[d];
    fn(i, position);
    for (int64_t d = int64_t(index.size()) - 1; d >= 0; --d) {
      if (++index[d] < sizes[d])
        break;
      index[d] = 0;
    }
  }
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::EmptyOp op, Interpreter &in) {
  auto result =
      allocateFor<R>(op, in, op.getType(), getSizes(op.getMixedSizes(), in));
  if (failed(result))
    return failure();
  in.set(op, {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::DimOp op, Interpreter &in) {
  HostTensor source = in.get(op.getSource());
  int64_t i = in.getInt(op.getIndex());
  if (failed(checkIndex(op, i, source.getRank(), "dimension")))
    return failure();
  auto result = in.allocate<int64_t>(op, {});
  if (failed(result))
    return failure();
  result->template mutableData<int64_t>()[0] = source.dim(i);
  in.set(op, {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::CastOp op, Interpreter &in) {
  in.set(op, in.getValue(op.getSource())); // run() checks the shape
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::ExtractSliceOp op, Interpreter &in) {
  HostTensor source = in.get(op.getSource());
  SmallVector<int64_t> sizes = getSizes(op.getMixedSizes(), in);
  auto result = allocateFor<R>(op, in, op.getType(), sizes);
  if (failed(result))
    return failure();
  auto copy = [&](auto zero) {
    using T = decltype(zero);
    MutableArrayRef<T> out = result->template mutableData<T>();
    return forEachElement(
        op, source.getShape(), getSizes(op.getMixedOffsets(), in), sizes,
        getSizes(op.getMixedStrides(), in),
        [&](int64_t i, int64_t j) { out[i] = source.data<T>()[j]; });
  };
  if (failed(isReal(op.getType()) ? copy(R(0)) : copy(int64_t(0))))
    return failure();
  // Drop the unit dimensions that the result does not have.
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<int64_t> shape;
  for (auto [d, size] : llvm::enumerate(sizes))
    if (!dropped[d])
      shape.push_back(size);
  in.set(op, {result->reshape(shape)});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::InsertSliceOp op, Interpreter &in) {
  HostTensor source = in.get(op.getSource());
  FailureOr<HostTensor> result = in.copy(op, in.get(op.getDest()));
  if (failed(result))
    return failure();
  SmallVector<int64_t> sizes = getSizes(op.getMixedSizes(), in);
  int64_t count = 1;
  for (int64_t size : sizes)
    if (size < 0 || llvm::MulOverflow(count, size, count))
      return op.emitOpError("has impossible sizes");
  if (failed(verifySameSize(op, count, "elements of the slice",
                            source.getNumElements(), "elements of the source")))
    return failure();
  auto copy = [&](auto zero) {
    using T = decltype(zero);
    MutableArrayRef<T> out = result->template mutableData<T>();
    return forEachElement(
        op, result->getShape(), getSizes(op.getMixedOffsets(), in), sizes,
        getSizes(op.getMixedStrides(), in),
        [&](int64_t i, int64_t j) { out[j] = source.data<T>()[i]; });
  };
  if (failed(isReal(op.getType()) ? copy(R(0)) : copy(int64_t(0))))
    return failure();
  in.set(op, {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::ExtractOp op, Interpreter &in) {
  HostTensor source = in.get(op.getTensor());
  for (auto [d, index] : llvm::enumerate(op.getIndices())) {
    if (failed(checkIndex(op, in.getInt(index), source.dim(0),
                          "index " + Twine(d))))
      return failure();
    source = source.at(in.getInt(index));
  }
  in.set(op, {source});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::FromElementsOp op, Interpreter &in) {
  auto result = allocateFor<R>(op, in, op.getType(), op.getType().getShape());
  if (failed(result))
    return failure();
  for (auto [i, element] : llvm::enumerate(op.getElements())) {
    if (isReal(op.getType()))
      result->template mutableData<R>()[i] =
          in.get(element).template data<R>()[0];
    else
      result->template mutableData<int64_t>()[i] = in.getInt(element);
  }
  in.set(op, {*result});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::CollapseShapeOp op, Interpreter &in) {
  HostTensor source = in.get(op.getSrc());
  SmallVector<int64_t> shape;
  for (const ReassociationIndices &group : op.getReassociationIndices()) {
    int64_t size = 1;
    for (int64_t d : group)
      size *= source.dim(d);
    shape.push_back(size);
  }
  in.set(op, {source.reshape(shape)});
  return success();
}

template <typename R>
static LogicalResult interpret(tensor::ExpandShapeOp op, Interpreter &in) {
  HostTensor source = in.get(op.getSrc());
  SmallVector<int64_t> shape = getSizes(op.getMixedOutputShape(), in);
  for (auto [d, group] : llvm::enumerate(op.getReassociationIndices())) {
    int64_t size = 1;
    for (int64_t i : group)
      if (shape[i] < 0 || llvm::MulOverflow(size, shape[i], size))
        return op.emitOpError("has impossible sizes");
    if (failed(verifySameSize(op, size, "product of the new sizes",
                              source.dim(d), "size")))
      return failure();
  }
  in.set(op, {source.reshape(shape)});
  return success();
}

template <typename R>
static LogicalResult interpret(linalg::FillOp op, Interpreter &in) {
  Value init = op.getOutputs()[0];
  auto result = allocateFor<R>(op, in, init.getType(), in.get(init).getShape());
  if (failed(result))
    return failure();
  HostTensor value = in.get(op.getInputs()[0]);
  bool real = isReal(init.getType());
  if (real != (value.getKind() != HostTensor::Kind::Int))
    return op.emitOpError("cannot be interpreted: value and tensor are of "
                          "different kinds");
  if (real)
    llvm::fill(result->template mutableData<R>(), value.data<R>()[0]);
  else
    llvm::fill(result->template mutableData<int64_t>(), value.ints()[0]);
  in.set(op->getResult(0), {*result});
  return success();
}

//===----------------------------------------------------------------------===//
// Calls and control flow
//===----------------------------------------------------------------------===//

static SmallVector<HostValue> getValues(ValueRange values, Interpreter &in) {
  return llvm::map_to_vector(values,
                             [&](Value value) { return in.getValue(value); });
}

/// Takes over what a block or function returned.
static LogicalResult setResults(Operation *op,
                                FailureOr<SmallVector<HostValue>> values,
                                Interpreter &in) {
  if (failed(values))
    return failure();
  for (auto [result, value] : llvm::zip_equal(op->getResults(), *values))
    in.set(result, value);
  return success();
}

template <typename R>
static LogicalResult interpret(func::CallOp op, Interpreter &in) {
  auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
      op, op.getCalleeAttr());
  if (!callee)
    return op.emitOpError("calls '") << op.getCallee() << "', which is unknown";
  return setResults(op, in.run(callee, getValues(op.getOperands(), in)), in);
}

template <typename R>
static LogicalResult interpret(scf::IfOp op, Interpreter &in) {
  Region &region =
      in.getInt(op.getCondition()) ? op.getThenRegion() : op.getElseRegion();
  if (region.empty())
    return success();
  return setResults(op, in.run(region.front(), {}), in);
}

template <typename R>
static LogicalResult interpret(scf::ForOp op, Interpreter &in) {
  int64_t i = in.getInt(op.getLowerBound()),
          end = in.getInt(op.getUpperBound()), step = in.getInt(op.getStep());
  if (step < 1)
    return op.emitOpError("step must be at least 1, got ") << step;
  SmallVector<HostValue> values = getValues(op.getInitArgs(), in);
  for (int64_t done = 0; i < end; ++done) {
    if (done == Interpreter::kMaxSteps)
      return op.emitOpError("cannot be interpreted: more than ")
             << Interpreter::kMaxSteps << " iterations";
    auto index = in.allocate<int64_t>(op, {});
    if (failed(index))
      return failure();
    index->template mutableData<int64_t>()[0] = i;
    SmallVector<HostValue> arguments{{*index}};
    llvm::append_range(arguments, values);
    FailureOr<SmallVector<HostValue>> yielded =
        in.run(*op.getBody(), arguments);
    if (failed(yielded))
      return failure();
    values = *yielded;
    if (llvm::AddOverflow(i, step, i))
      break;
  }
  return setResults(op, values, in);
}

MOE_DEFINE_MODEL_ATTACHMENT

void moe::attachUpstreamModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, arith::ArithDialect *) {
    attach<arith::ConstantOp, arith::AddIOp, arith::SubIOp, arith::MulIOp,
           arith::AndIOp, arith::OrIOp, arith::XOrIOp, arith::MaxSIOp,
           arith::MinSIOp, arith::DivSIOp, arith::RemSIOp, arith::FloorDivSIOp,
           arith::CeilDivSIOp, arith::CmpIOp, arith::IndexCastOp,
           arith::ExtSIOp, arith::TruncIOp, arith::AddFOp, arith::SubFOp,
           arith::MulFOp, arith::DivFOp, arith::MaximumFOp, arith::MinimumFOp,
           arith::MaxNumFOp, arith::MinNumFOp, arith::NegFOp, arith::ExtFOp,
           arith::TruncFOp, arith::CmpFOp, arith::SelectOp, arith::SIToFPOp>(
        context);
  });
  registry.addExtension(+[](MLIRContext *context, math::MathDialect *) {
    attach<math::AbsFOp, math::ErfOp, math::ExpOp, math::LogOp, math::Log1pOp,
           math::RsqrtOp, math::SqrtOp, math::TanhOp>(context);
  });
  registry.addExtension(+[](MLIRContext *context, tensor::TensorDialect *) {
    attach<tensor::EmptyOp, tensor::DimOp, tensor::CastOp,
           tensor::ExtractSliceOp, tensor::InsertSliceOp, tensor::ExtractOp,
           tensor::FromElementsOp, tensor::CollapseShapeOp,
           tensor::ExpandShapeOp>(context);
  });
  registry.addExtension(+[](MLIRContext *context, linalg::LinalgDialect *) {
    attach<linalg::FillOp>(context);
  });
  registry.addExtension(+[](MLIRContext *context, func::FuncDialect *) {
    attach<func::CallOp>(context);
  });
  registry.addExtension(+[](MLIRContext *context, scf::SCFDialect *) {
    attach<scf::IfOp, scf::ForOp>(context);
  });
}

void moe::registerInterpretableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  attachMoEModels(registry);
  attachNNModels(registry);
  attachUpstreamModels(registry);
}
