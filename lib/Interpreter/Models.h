//===- Models.h - What the interpreter's models share -----------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
// The meaning of an op is one function template
//   template <typename R> LogicalResult interpret(OpTy op, Interpreter &in)
// where R, float or double, is the type of real numbers. All arithmetic is in
// the order of docs/Spec.md, "Canonical arithmetic".
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_INTERPRETER_MODELS_H
#define MOE_LIB_INTERPRETER_MODELS_H
#include "moe/Interpreter/Interpreter.h"
#include <array>
#include <cmath>

namespace mlir::moe {

/// A tensor for output `i` of an op with destinations: the destination's
/// values, or undefined ones where the op has none.
template <typename T>
FailureOr<HostTensor> makeOutput(DestinationOpInterface op, Interpreter &in,
                                 unsigned i, ArrayRef<int64_t> shape) {
  OperandRange outs = OperandRange(op.getOutsMutable());
  if (outs.empty())
    return in.allocate<T>(op, shape);
  HostTensor destination = in.get(outs[i]);
  if (destination.getShape() == shape)
    return in.copy(op, destination);
  InFlightDiagnostic diagnostic = op->emitOpError("destination ");
  diagnostic << i << " must have the shape [";
  llvm::interleaveComma(shape, diagnostic);
  diagnostic << "], got [";
  llvm::interleaveComma(destination.getShape(), diagnostic);
  return diagnostic << "]";
}

/// Fails unless `x` lies in [0, limit).
inline LogicalResult checkIndex(Operation *op, int64_t x, int64_t limit,
                                const Twine &name) {
  if (x >= 0 && x < limit)
    return success();
  return op->emitOpError() << name << " is " << x << ", not in [0, " << limit
                           << ")";
}

/// Fails unless `offsets` rises from at least 0 to at most `limit`.
inline LogicalResult checkOffsets(Operation *op, ArrayRef<int64_t> offsets,
                                  int64_t limit, const Twine &name) {
  for (auto [i, offset] : llvm::enumerate(offsets))
    if (offset < (i ? offsets[i - 1] : 0) || offset > limit)
      return op->emitOpError() << name << " must rise from 0 to at most "
                               << limit << ", got " << offset << " at " << i;
  return success();
}

/// Fails if there are no offsets: E + 1 of them are at least one.
inline LogicalResult checkNotEmpty(Operation *op, const HostTensor &tensor,
                                   const Twine &name) {
  if (tensor.dim(0) > 0)
    return success();
  return op->emitOpError() << name << " must not be empty";
}

/// sum_i a[i] * b[i]: one FMA chain in ascending i from 0.
template <typename R> R dot(ArrayRef<R> a, ArrayRef<R> b) {
  R sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum = std::fma(a[i], b[i], sum);
  return sum;
}

/// `x` as this type holds it: rounded to f16 or bf16; f32 from f64 is exact in
/// f32 mode by construction.
template <typename R> R roundTo(Type type, R x) {
  auto narrow = cast<FloatType>(type);
  if (narrow.getWidth() >= 32)
    return x;
  APFloat value(x);
  bool losesInfo;
  value.convert(narrow.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                &losesInfo);
  // Exact: f32 has all values of both.
  value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                &losesInfo);
  return R(value.convertToFloat());
}

/// The larger value; NaN if either is, and +0 is larger than -0.
template <typename R> R maximum(R x, R y) {
  if (std::isnan(x) || std::isnan(y))
    return x + y;
  return x == y ? (std::signbit(x) ? y : x) : std::max(x, y);
}

/// Lanes combined pairwise: (l, l + 8), (l, l + 4), (l, l + 2), (l, l + 1).
template <typename R, typename Fn> R tree(std::array<R, 16> lanes, Fn combine) {
  for (size_t half = 8; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l)
      lanes[l] = combine(lanes[l], lanes[l + half]);
  return lanes[0];
}
template <typename R> R sumTree(const std::array<R, 16> &lanes) {
  return tree(lanes, [](R x, R y) { return x + y; });
}

/// sum_i a[i] * b[i] in 16 FMA chains: lane l takes i = l, l + 16, ...
template <typename R> R dotInLanes(ArrayRef<R> a, ArrayRef<R> b) {
  std::array<R, 16> lanes = {};
  for (size_t i = 0; i < a.size(); ++i)
    lanes[i % 16] = std::fma(a[i], b[i], lanes[i % 16]);
  return sumTree(lanes);
}

template <typename R> R sigmoid(R x) { return R(1) / (R(1) + std::exp(-x)); }

/// result[i] = fn(x[i]) for a scalar or tensor of T.
template <typename T, typename Fn>
LogicalResult mapElements(Operation *op, Interpreter &in, Fn fn) {
  HostTensor x = in.get(op->getOperand(0));
  FailureOr<HostTensor> result = in.allocate<T>(op, x.getShape());
  if (failed(result))
    return failure();
  for (auto [r, a] :
       llvm::zip_equal(result->template mutableData<T>(), x.data<T>()))
    r = fn(a);
  in.set(op->getResult(0), {*result});
  return success();
}

/// result[i] = fn(x[i], y[i]); a scalar goes with every element of a tensor,
/// as in an epilogue, which runs on all its elements at once.
template <typename T, typename Fn, typename Result = T>
LogicalResult mapElements2(Operation *op, Interpreter &in, Fn fn) {
  HostTensor x = in.get(op->getOperand(0)), y = in.get(op->getOperand(1));
  bool xIsScalar = x.getRank() == 0, yIsScalar = y.getRank() == 0;
  if (!xIsScalar && !yIsScalar && x.getShape() != y.getShape())
    return op->emitOpError("operands differ in shape at run time");
  FailureOr<HostTensor> result =
      in.allocate<Result>(op, xIsScalar ? y.getShape() : x.getShape());
  if (failed(result))
    return failure();
  MutableArrayRef<Result> out = result->template mutableData<Result>();
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = fn(x.data<T>()[xIsScalar ? 0 : i], y.data<T>()[yIsScalar ? 0 : i]);
  in.set(op->getResult(0), {*result});
  return success();
}

void attachMoEModels(DialectRegistry &registry);
void attachNNModels(DialectRegistry &registry);
void attachUpstreamModels(DialectRegistry &registry);

} // namespace mlir::moe

/// Gives ops the overload of `interpret` that is visible where this stands.
#define MOE_DEFINE_MODEL_ATTACHMENT                                            \
  namespace {                                                                  \
  template <typename OpTy>                                                     \
  struct Model                                                                 \
      : moe::InterpretableOpInterface::ExternalModel<Model<OpTy>, OpTy> {      \
    LogicalResult interpret(Operation *op, moe::Interpreter &in) const {       \
      return in.usesDouble() ? ::interpret<double>(cast<OpTy>(op), in)         \
                             : ::interpret<float>(cast<OpTy>(op), in);         \
    }                                                                          \
  };                                                                           \
  }                                                                            \
  template <typename... OpTys> static void attach(MLIRContext *context) {      \
    (OpTys::template attachInterface<Model<OpTys>>(*context), ...);            \
  }
#endif // MOE_LIB_INTERPRETER_MODELS_H
