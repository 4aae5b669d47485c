//===- NNModels.cpp - Meaning of nn ops -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Models.h"
#include "moe/Dialect/NN/IR/NN.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::nn;

/// S, where `rows` are B * S rows of `numBatches` = B sequences.
static FailureOr<int64_t> getSequenceLength(Operation *op, int64_t rows,
                                            int64_t numBatches) {
  if (numBatches == 0 ? rows == 0 : rows % numBatches == 0)
    return numBatches == 0 ? 0 : rows / numBatches;
  return op->emitOpError() << rows << " rows are not the same number for each "
                           << "of " << numBatches << " sequences";
}

template <typename R>
static LogicalResult interpret(LinearOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), weight = in.get(op.getWeight());
  HostTensor bias = op.getBias() ? in.get(op.getBias()) : HostTensor();
  if (failed(verifySameSize(op, x.dim(1), "columns of x", weight.dim(1),
                            "columns of weight")) ||
      (bias && failed(verifySameSize(op, bias.dim(0), "length of bias",
                                     weight.dim(0), "rows of weight"))))
    return failure();
  auto y = makeOutput<R>(op, in, 0, {x.dim(0), weight.dim(0)});
  if (failed(y))
    return failure();
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  for (int64_t m = 0; m < x.dim(0); ++m)
    for (int64_t n = 0; n < weight.dim(0); ++n) {
      R value = dot(x.row<R>(m), weight.row<R>(n));
      if (bias)
        value += bias.data<R>()[n];
      R &out = y->template mutableRow<R>(m)[n];
      out = roundTo(element, op.getAccumulate() ? out + value : value);
    }
  in.set(op->getResult(0), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(EmbeddingOp op, Interpreter &in) {
  HostTensor ids = in.get(op.getIds()), table = in.get(op.getTable());
  auto y = makeOutput<R>(op, in, 0, {ids.getNumElements(), table.dim(1)});
  if (failed(y))
    return failure();
  for (auto [i, id] : llvm::enumerate(ids.ints())) {
    if (failed(checkIndex(op, id, table.dim(0), "token id")))
      return failure();
    llvm::copy(table.row<R>(id), y->template mutableRow<R>(i).begin());
  }
  in.set(op->getResult(0), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(RMSNormOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), weight = in.get(op.getWeight());
  int64_t h = x.dim(1);
  R eps = op.getEps().convertToDouble();
  if (failed(verifySameSize(op, h, "columns of x", weight.dim(0),
                            "length of weight")))
    return failure();
  auto y = makeOutput<R>(op, in, 0, x.getShape());
  if (failed(y))
    return failure();
  for (int64_t m = 0; m < x.dim(0); ++m) {
    ArrayRef<R> row = x.row<R>(m);
    R mean = dotInLanes(row, row) / R(h);
    R factor = R(1) / std::sqrt(mean + eps);
    for (int64_t i = 0; i < h; ++i)
      y->template mutableRow<R>(m)[i] = row[i] * factor * weight.data<R>()[i];
  }
  in.set(op->getResult(0), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(RotaryTableOp op, Interpreter &in) {
  HostTensor ids = in.get(op.getIds()), lengths = in.get(op.getLengths());
  ArrayRef<float> invFreq = op.getInvFreq();
  if (failed(verifySameSize(op, ids.dim(0), "rows of ids", lengths.dim(0),
                            "length of lengths")))
    return failure();
  SmallVector<int64_t> shape{ids.getNumElements(), int64_t(invFreq.size())};
  auto cos = makeOutput<R>(op, in, 0, shape),
       sin = makeOutput<R>(op, in, 1, shape);
  if (failed(cos) || failed(sin))
    return failure();
  for (int64_t b = 0; b < ids.dim(0); ++b)
    for (int64_t s = 0; s < ids.dim(1); ++s)
      for (size_t i = 0; i < invFreq.size(); ++i) {
        float angle = float(lengths.ints()[b] + s) * invFreq[i];
        int64_t row = b * ids.dim(1) + s;
        cos->template mutableRow<R>(row)[i] = R(std::cos(double(angle)));
        sin->template mutableRow<R>(row)[i] = R(std::sin(double(angle)));
      }
  in.set(op->getResult(0), {*cos});
  in.set(op->getResult(1), {*sin});
  return success();
}

template <typename R>
static LogicalResult interpret(RotaryOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), cos = in.get(op.getCos()),
             sin = in.get(op.getSin());
  int64_t heads = op.getHeads(), half = cos.dim(1);
  if (cos.getShape() != sin.getShape() || cos.dim(0) != x.dim(0) ||
      x.dim(1) % heads || x.dim(1) / heads != 2 * half)
    return op.emitOpError("tables do not fit x at run time");
  auto y = makeOutput<R>(op, in, 0, x.getShape());
  if (failed(y))
    return failure();
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t i = 0; i < half; ++i) {
        int64_t first = head * 2 * half + i, second = first + half;
        R a = x.row<R>(t)[first], b = x.row<R>(t)[second];
        R c = cos.row<R>(t)[i], s = sin.row<R>(t)[i];
        y->template mutableRow<R>(t)[first] = a * c - b * s;
        y->template mutableRow<R>(t)[second] = b * c + a * s;
      }
  in.set(op->getResult(0), {*y});
  return success();
}

/// Fails unless `layer` and B + S of `lengths` lie in a cache [L, B, N, h, D].
static LogicalResult checkCache(Operation *op, const HostTensor &cache,
                                const HostTensor &lengths, int64_t layer,
                                int64_t sequenceLength) {
  if (failed(checkIndex(op, layer, cache.dim(0), "layer")) ||
      failed(verifySameSize(op, lengths.dim(0), "length of lengths",
                            cache.dim(1), "rows of the cache")))
    return failure();
  for (auto [b, length] : llvm::enumerate(lengths.ints()))
    if (length < 0 || length > cache.dim(2) ||
        sequenceLength > cache.dim(2) - length)
      return op->emitOpError("row ")
             << b << " has " << length << " tokens and gets " << sequenceLength
             << ", but the cache holds " << cache.dim(2);
  return success();
}

template <typename R>
static LogicalResult interpret(CacheAppendOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), lengths = in.get(op.getLengths());
  int64_t layer = in.getInt(op.getLayer());
  FailureOr<HostTensor> cache = in.copy(op, in.get(op.getOuts()[0]));
  FailureOr<int64_t> s = getSequenceLength(op, x.dim(0), lengths.dim(0));
  if (failed(cache) || failed(s) ||
      failed(checkCache(op, *cache, lengths, layer, *s)) ||
      failed(verifySameSize(op, x.dim(1), "columns of x",
                            cache->dim(3) * cache->dim(4),
                            "heads * head size of the cache")))
    return failure();
  for (int64_t r = 0; r < x.dim(0); ++r) {
    int64_t b = r / *s, n = lengths.ints()[b] + r % *s;
    int64_t position = (layer * cache->dim(1) + b) * cache->dim(2) + n;
    llvm::copy(x.row<R>(r),
               cache->template mutableData<R>().begin() + position * x.dim(1));
  }
  in.set(op->getResult(0), {*cache});
  return success();
}

/// One query over the keys [first, last]: online softmax, 16 keys at a time,
/// blocks counted from key 0. `key` and `value` are row getters.
template <typename R>
static void attend(ArrayRef<R> query, int64_t first, int64_t last, R scale,
                   function_ref<ArrayRef<R>(int64_t)> key,
                   function_ref<ArrayRef<R>(int64_t)> value,
                   MutableArrayRef<R> out) {
  const R lowest = -std::numeric_limits<R>::infinity();
  R max = lowest, sum = 0;
  llvm::fill(out, R(0));
  for (int64_t block = first / 16 * 16; block <= last; block += 16) {
    int64_t begin = std::max(block, first),
            end = std::min(block + 16, last + 1);
    std::array<R, 16> lanes; // scores, then weights; no key: -inf, then 0
    lanes.fill(lowest);
    for (int64_t j = begin; j < end; ++j)
      lanes[j - block] = dotInLanes(query, key(j)) * scale;
    R newMax = maximum(max, tree(lanes, maximum<R>));
    for (R &lane : lanes)
      lane = std::exp(lane - newMax);
    R rescale = std::exp(max - newMax);
    sum = std::fma(sum, rescale, sumTree(lanes));
    for (R &o : out)
      o *= rescale;
    for (int64_t j = begin; j < end; ++j)
      for (auto [o, v] : llvm::zip_equal(out, value(j)))
        o = std::fma(lanes[j - block], v, o);
    max = newMax;
  }
  for (R &o : out)
    o /= sum;
}

template <typename R>
static LogicalResult interpret(AttentionOp op, Interpreter &in) {
  HostTensor q = in.get(op.getQ()), keys = in.get(op.getKeys()),
             values = in.get(op.getValues()), lengths = in.get(op.getLengths());
  int64_t layer = in.getInt(op.getLayer()), heads = op.getHeads();
  int64_t kvHeads = keys.dim(3), d = keys.dim(4);
  R scale = op.getScale().convertToDouble();
  FailureOr<int64_t> s = getSequenceLength(op, q.dim(0), lengths.dim(0));
  if (keys.getShape() != values.getShape())
    return op.emitOpError("keys and values differ in shape");
  if (failed(s) || failed(checkCache(op, keys, lengths, layer, *s)) ||
      failed(verifySameSize(op, q.dim(1), "columns of q", heads * d,
                            "heads * head size")))
    return failure();
  auto y = makeOutput<R>(op, in, 0, q.getShape());
  if (failed(y))
    return failure();
  for (int64_t r = 0; r < q.dim(0); ++r) {
    int64_t b = r / *s, position = lengths.ints()[b] + r % *s, first = 0;
    if (op.getWindow())
      first = std::max<int64_t>(0, position - int64_t(*op.getWindow()) + 1);
    HostTensor rowKeys = keys.at(layer).at(b),
               rowValues = values.at(layer).at(b);
    for (int64_t head = 0; head < heads; ++head) {
      int64_t kvHead = head / (heads / kvHeads);
      attend<R>(
          q.row<R>(r).slice(head * d, d), first, position, scale,
          [&](int64_t j) { return rowKeys.at(j).template row<R>(kvHead); },
          [&](int64_t j) { return rowValues.at(j).template row<R>(kvHead); },
          y->template mutableRow<R>(r).slice(head * d, d));
    }
  }
  in.set(op->getResult(0), {*y});
  return success();
}

template <typename R>
static LogicalResult interpret(LastRowsOp op, Interpreter &in) {
  HostTensor x = in.get(op.getX()), ids = in.get(op.getIds());
  int64_t s = ids.dim(1);
  if (s < 1)
    return op.emitOpError("needs sequences of at least one token");
  if (failed(verifySameSize(op, x.dim(0), "rows of x", ids.getNumElements(),
                            "number of ids")))
    return failure();
  auto y = makeOutput<R>(op, in, 0, {ids.dim(0), x.dim(1)});
  if (failed(y))
    return failure();
  for (int64_t b = 0; b < ids.dim(0); ++b)
    llvm::copy(x.row<R>(b * s + s - 1), y->template mutableRow<R>(b).begin());
  in.set(op->getResult(0), {*y});
  return success();
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

template <typename R>
static LogicalResult interpret(SiluOp op, Interpreter &in) {
  return mapElements<R>(op, in, [](R x) { return x / (R(1) + std::exp(-x)); });
}
template <typename R>
static LogicalResult interpret(GeluOp op, Interpreter &in) {
  return mapElements<R>(op, in, [](R x) {
    return x * R(0.5) * (R(1) + std::erf(x * R(0.70710678118654752440)));
  });
}
template <typename R>
static LogicalResult interpret(GeluTanhOp op, Interpreter &in) {
  return mapElements<R>(op, in, [](R x) {
    R inner =
        x * R(0.79788456080286535588) * std::fma(x * x, R(0.044715), R(1));
    return x * R(0.5) * (R(1) + std::tanh(inner));
  });
}
template <typename R> static R relu(R x) { return maximum(x, R(0)); }
template <typename R>
static LogicalResult interpret(ReluOp op, Interpreter &in) {
  return mapElements<R>(op, in, relu<R>);
}
template <typename R>
static LogicalResult interpret(SquaredReluOp op, Interpreter &in) {
  return mapElements<R>(op, in, [](R x) { return relu(x) * relu(x); });
}
template <typename R>
static LogicalResult interpret(nn::MulOp op, Interpreter &in) {
  return mapElements2<R>(op, in, [](R x, R y) { return x * y; });
}
template <typename R>
static LogicalResult interpret(nn::AddOp op, Interpreter &in) {
  return mapElements2<R>(op, in, [](R x, R y) { return x + y; });
}

MOE_DEFINE_MODEL_ATTACHMENT

void moe::attachNNModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, NNDialect *) {
    attach<LinearOp, EmbeddingOp, RMSNormOp, RotaryTableOp, RotaryOp,
           CacheAppendOp, AttentionOp, LastRowsOp, SiluOp, GeluOp, GeluTanhOp,
           ReluOp, SquaredReluOp, nn::MulOp, nn::AddOp>(context);
  });
}
