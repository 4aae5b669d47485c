//===- Routing.cpp - Stages of routing as loops ---------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"
#include "llvm/ADT/TypeSwitch.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

static void lower(RouterLogitsOp op, LoopBuilder &b) {
  buildMatmul(b, op.getX(), op.getRouter(), op.getBias(),
              /*accumulate=*/false, op.getOuts()[0]);
}

/// exp(x - max) / sum, all in ascending index; slots without an expert get 0.
static void lowerSoftmax(ScoreOp op, LoopBuilder &b) {
  Value logits = op.getLogits(), indices = op.getIndices(),
        out = op.getOuts()[0];
  Value size = b.dim(logits, 1);
  b.parallel(b.dim(logits, 0), [&](Value t) {
    auto ifTaken = [&](Value e, Value otherwise, function_ref<Value()> body) {
      if (!indices)
        return body();
      Value taken = b.compare(arith::CmpIPredicate::sge,
                              b.loadIndex(indices, {t, e}), b.index(0));
      return b.pick(taken, otherwise, body);
    };
    Value lowest = b.f32(-std::numeric_limits<double>::infinity());
    Value max = b.reduce(size, lowest, [&](Value e, Value acc) {
      return ifTaken(e, acc,
                     [&] { return b.maxF(acc, b.load(logits, {t, e})); });
    });
    Value sum = b.reduce(size, b.f32(0), [&](Value e, Value acc) {
      Value part = ifTaken(e, b.f32(0), [&] {
        return b.exp(b.subF(b.load(logits, {t, e}), max));
      });
      b.store(part, out, {t, e});
      return b.addF(acc, part);
    });
    b.loop(size, [&](Value e) {
      Value part = ifTaken(e, b.f32(0),
                           [&] { return b.divF(b.load(out, {t, e}), sum); });
      b.store(part, out, {t, e});
    });
  });
}

static void lowerSigmoid(ScoreOp op, LoopBuilder &b) {
  Value logits = op.getLogits(), out = op.getOuts()[0];
  b.parallel(b.dim(logits, 0), [&](Value t) {
    b.loop(b.dim(logits, 1), [&](Value e) {
      auto sigmoid = [&] {
        Value x = b.load(logits, {t, e});
        Value exp = b.exp(arith::NegFOp::create(b, x));
        return b.divF(b.f32(1), b.addF(b.f32(1), exp));
      };
      Value score;
      if (Value indices = op.getIndices())
        score = b.pick(b.compare(arith::CmpIPredicate::sge,
                                 b.loadIndex(indices, {t, e}), b.index(0)),
                       b.f32(0), sigmoid);
      else
        score = sigmoid();
      b.store(score, out, {t, e});
    });
  });
}

static void lower(ScoreOp op, LoopBuilder &b) {
  op.getFn() == ScoreFn::Softmax ? lowerSoftmax(op, b) : lowerSigmoid(op, b);
}

static void lower(AddSelectionBiasOp op, LoopBuilder &b) {
  Value scores = op.getScores(), out = op.getOuts()[0];
  b.lightParallel(b.dim(scores, 0), [&](Value t) {
    b.loop(b.dim(scores, 1), [&](Value e) {
      b.store(b.addF(b.load(scores, {t, e}), b.load(op.getBias(), e)), out,
              {t, e});
    });
  });
}

/// An integer that orders floats as top_k does: equal numbers are equal, NaN
/// comes before every number, and `lowest` stands for -infinity alone.
static Value buildRank(LoopBuilder &b, Value value, Value lowest) {
  auto equals = [&](Value x, double y) {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, b.f32(y));
  };
  Value isNaN =
      arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, value, value);
  Value isLowest = equals(value, -std::numeric_limits<double>::infinity());
  // Adding +0 makes +0 of -0. Negative floats ascend where their bits descend.
  Value bits =
      arith::BitcastOp::create(b, b.getI32Type(), b.addF(value, b.f32(0)));
  Value flipped = arith::XOrIOp::create(
      b, bits,
      arith::AndIOp::create(b, arith::ShRSIOp::create(b, bits, b.i32(31)),
                            b.i32(std::numeric_limits<int32_t>::max())));
  Value rank =
      b.select(isNaN, b.i32(std::numeric_limits<int32_t>::min() + 1), flipped);
  return b.select(isLowest, lowest, rank);
}

static void lower(TopKOp op, LoopBuilder &b) {
  Value scores = op.getScores(), indices = op.getOuts()[0],
        weights = op.getOuts()[1];
  Value one = b.index(1), none = b.index(-1);
  Value lowest = b.i32(std::numeric_limits<int32_t>::min());
  Value highest = b.i32(std::numeric_limits<int32_t>::max());
  b.parallel(b.dim(scores, 0), [&](Value t) {
    // Every pass over the row finds the entry that follows the last one. When
    // none is left, the last rank is `lowest` and nothing follows it.
    b.reduce(b.index(0), b.index(op.getK()), one, {highest, none},
             [&](Value j, ValueRange last) {
               SmallVector<Value> best = b.reduce(
                   b.index(0), b.dim(scores, 1), one, {lowest, none},
                   [&](Value e, ValueRange best) {
                     using P = arith::CmpIPredicate;
                     Value rank = buildRank(b, b.load(scores, {t, e}), lowest);
                     Value ties = arith::AndIOp::create(
                         b, b.compare(P::eq, rank, last[0]),
                         b.compare(P::sgt, e, last[1]));
                     Value follows = arith::OrIOp::create(
                         b, b.compare(P::slt, rank, last[0]), ties);
                     Value better = arith::AndIOp::create(
                         b, follows, b.compare(P::sgt, rank, best[0]));
                     return SmallVector<Value>{b.select(better, rank, best[0]),
                                               b.select(better, e, best[1])};
                   });
               Value found = b.inside(best[1], b.dim(scores, 1));
               b.store(best[1], indices, {t, j});
               b.store(b.pick(found, b.f32(0),
                              [&] { return b.load(scores, {t, best[1]}); }),
                       weights, {t, j});
               return best;
             });
  });
}

/// values[at(i)] for the expert i of slot [t, j], 0 if there is no such expert.
static Value buildLookUp(LoopBuilder &b, Value indices, Value t, Value j,
                         Value count, function_ref<Value(Value)> body) {
  Value i = b.loadIndex(indices, {t, j});
  return b.pick(b.inside(i, count), b.f32(0), [&] { return body(i); });
}

static void lower(TakeOp op, LoopBuilder &b) {
  Value scores = op.getScores(), indices = op.getIndices(),
        out = op.getOuts()[0];
  b.lightParallel(b.dim(indices, 0), [&](Value t) {
    b.loop(b.dim(indices, 1), [&](Value j) {
      b.store(buildLookUp(b, indices, t, j, b.dim(scores, 1),
                          [&](Value e) { return b.load(scores, {t, e}); }),
              out, {t, j});
    });
  });
}

static void lower(RenormalizeOp op, LoopBuilder &b) {
  Value weights = op.getWeights(), out = op.getOuts()[0];
  Value slots = b.dim(weights, 1);
  b.lightParallel(b.dim(weights, 0), [&](Value t) {
    Value norm = b.reduce(slots, b.f32(0), [&](Value j, Value acc) -> Value {
      Value w = b.load(weights, {t, j});
      if (op.getP() == 2)
        return b.fma(w, w, acc);
      return b.addF(acc, math::AbsFOp::create(b, w));
    });
    if (op.getP() == 2)
      norm = math::SqrtOp::create(b, norm);
    Value divisor = b.maxF(b.addF(norm, b.f32(op.getEps().convertToDouble())),
                           b.f32(op.getFloor().convertToDouble()));
    Value isZero =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, divisor, b.f32(0));
    b.loop(slots, [&](Value j) {
      Value quotient = b.divF(b.load(weights, {t, j}), divisor);
      b.store(b.select(isZero, b.f32(0), quotient), out, {t, j});
    });
  });
}

static void lower(ScaleOp op, LoopBuilder &b) {
  Value weights = op.getWeights();
  Value factor = b.f32(op.getFactor().convertToDouble());
  b.lightParallel(b.dim(weights, 0), [&](Value t) {
    b.loop(b.dim(weights, 1), [&](Value j) {
      b.store(b.mulF(b.load(weights, {t, j}), factor), op.getOuts()[0], {t, j});
    });
  });
}

static void lower(ScaleByExpertOp op, LoopBuilder &b) {
  Value weights = op.getWeights(), factors = op.getFactors();
  b.lightParallel(b.dim(weights, 0), [&](Value t) {
    b.loop(b.dim(weights, 1), [&](Value j) {
      Value scaled = buildLookUp(
          b, op.getIndices(), t, j, b.dim(factors, 0), [&](Value e) {
            return b.mulF(b.load(weights, {t, j}), b.load(factors, e));
          });
      b.store(scaled, op.getOuts()[0], {t, j});
    });
  });
}

LogicalResult moe::lowerRouting(Operation *op, LoopBuilder &b) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<RouterLogitsOp, ScoreOp, AddSelectionBiasOp, TopKOp, TakeOp,
            RenormalizeOp, ScaleOp, ScaleByExpertOp>([&](auto stage) {
        lower(stage, b);
        return success();
      })
      .Default([](Operation *) { return failure(); });
}
