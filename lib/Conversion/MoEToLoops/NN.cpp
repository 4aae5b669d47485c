//===- NN.cpp - The parts of a decoder around experts as loops ------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Dialect/NN/IR/NN.h"
#include "LoopBuilder.h"
#include "moe/Conversion/SinCos.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

static void lower(nn::LinearOp op, LoopBuilder &b) {
  buildMatmul(b, op.getX(), op.getWeight(), op.getBias(), op.getAccumulate(),
              op.getOuts()[0]);
}

static void lower(nn::EmbeddingOp op, LoopBuilder &b) {
  Value ids = op.getIds(), table = op.getTable(), out = op.getOuts()[0];
  Value numTokens = b.dim(ids, 1);
  b.parallel(b.mul(b.dim(ids, 0), numTokens), [&](Value row) {
    Value id = b.loadIndex(ids, {b.div(row, numTokens), b.rem(row, numTokens)});
    b.columns(b.dim(table, 1), {table, out}, [&](Value h, int64_t width) {
      b.store(b.load(table, {id, h}, width), out, {row, h});
    });
  });
}

static void lower(nn::RMSNormOp op, LoopBuilder &b) {
  Value x = op.getX(), weight = op.getWeight(), out = op.getOuts()[0];
  Value size = b.dim(x, 1);
  Value count = arith::UIToFPOp::create(
      b, b.getF32Type(), arith::IndexCastOp::create(b, b.getI64Type(), size));
  b.parallel(b.dim(x, 0), [&](Value m) {
    Value start[] = {m, b.index(0)};
    Value mean = b.divF(b.dot(x, start, x, start, size), count);
    Value root = math::SqrtOp::create(
        b, b.addF(mean, b.f32(op.getEps().convertToDouble())));
    Value scale = b.divF(b.f32(1), root);
    b.columns(size, {x, weight, out}, [&](Value h, int64_t width) {
      Value scaled = b.mulF(b.load(x, {m, h}, width), b.splat(scale, width));
      b.store(b.mulF(scaled, b.load(weight, h, width)), out, {m, h});
    });
  });
}

// x = q pi/2 + r by Cody and Waite, then the polynomials of fdlibm on
// |r| <= pi/4.
std::pair<Value, Value> moe::buildSinCos(ImplicitLocOpBuilder &b, Value x) {
  Type type = x.getType();
  auto constant = [&](double number) -> Value {
    TypedAttr value = b.getF64FloatAttr(number);
    if (auto shaped = dyn_cast<ShapedType>(type))
      value = SplatElementsAttr::get(shaped, value);
    return arith::ConstantOp::create(b, value);
  };
  auto fma = [&](Value x, Value y, Value z) -> Value {
    return math::FmaOp::create(b, x, y, z);
  };
  auto multiply = [&](Value x, Value y) -> Value {
    return arith::MulFOp::create(b, x, y);
  };
  auto select = [&](Value condition, Value x, Value y) -> Value {
    return arith::SelectOp::create(b, condition, x, y);
  };
  // c0 + y (c1 + y (c2 + ...))
  auto polynomial = [&](Value y, ArrayRef<double> coefficients) {
    Value sum = constant(coefficients.back());
    for (double c : llvm::reverse(coefficients.drop_back()))
      sum = fma(sum, y, constant(c));
    return sum;
  };
  Value q = math::RoundEvenOp::create(
      b, multiply(x, constant(0x1.45f306dc9c883p-1))); // 2 / pi
  Value minusQ = arith::NegFOp::create(b, q);
  // pi / 2 as the sum of two doubles.
  Value r = fma(minusQ, constant(0x1.921fb54442d18p+0), x);
  r = fma(minusQ, constant(0x1.1a62633145c07p-54), r);
  Value y = multiply(r, r);
  Value sinR = fma(
      multiply(r, y),
      polynomial(y, {-1.66666666666666324348e-01, 8.33333333332248946124e-03,
                     -1.98412698298579493134e-04, 2.75573137070700676789e-06,
                     -2.50507602534068634195e-08, 1.58969099521155010221e-10}),
      r);
  Value cosR = polynomial(
      y, {1.0, -0.5, 4.16666666666666019037e-02, -1.38888888888741095749e-03,
          2.48015872894767294178e-05, -2.75573143513906633035e-07,
          2.08757232129817482790e-09, -1.13596475577881948265e-11});
  // The quadrant q mod 4, in floats: no conversion that may overflow.
  Value quarter = multiply(q, constant(0.25));
  Value quadrant = multiply(
      arith::SubFOp::create(b, quarter, math::FloorOp::create(b, quarter)),
      constant(4));
  auto is = [&](double value) -> Value {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, quadrant,
                                 constant(value));
  };
  auto either = [&](Value p, Value q) -> Value {
    return arith::OrIOp::create(b, p, q);
  };
  Value swap = either(is(1), is(3));
  auto negateIf = [&](Value condition, Value value) {
    return select(condition, arith::NegFOp::create(b, value), value);
  };
  Value sin = negateIf(either(is(2), is(3)), select(swap, cosR, sinR));
  Value cos = negateIf(either(is(1), is(2)), select(swap, sinR, cosR));
  return {sin, cos};
}

static void lower(nn::RotaryTableOp op, LoopBuilder &b) {
  Value lengths = op.getLengths(), ids = op.getIds();
  Value numTokens = b.dim(ids, 1);
  ArrayRef<float> invFreq = op.getInvFreq();
  auto lanesOf = [](int64_t lanes, Type type) {
    return VectorType::get({lanes}, type);
  };
  b.parallel(b.mul(b.dim(ids, 0), numTokens), [&](Value row) {
    Value p = b.add(b.loadIndex(lengths, b.div(row, numTokens)),
                    b.rem(row, numTokens));
    Value position = arith::SIToFPOp::create(
        b, b.getF32Type(), arith::IndexCastOp::create(b, b.getI64Type(), p));
    for (size_t first = 0; first < invFreq.size(); first += kLanes) {
      ArrayRef<float> part = invFreq.slice(
          first, std::min<size_t>(kLanes, invFreq.size() - first));
      int64_t lanes = part.size();
      Value frequencies = arith::ConstantOp::create(
          b, DenseElementsAttr::get(lanesOf(lanes, b.getF32Type()), part));
      Value angles = b.mulF(
          vector::BroadcastOp::create(b, frequencies.getType(), position),
          frequencies);
      auto [sin, cos] = buildSinCos(
          b, arith::ExtFOp::create(b, lanesOf(lanes, b.getF64Type()), angles));
      for (auto [values, out] :
           {std::pair(cos, op.getOuts()[0]), {sin, op.getOuts()[1]}}) {
        Value rounded =
            arith::TruncFOp::create(b, frequencies.getType(), values);
        for (int64_t lane = 0; lane < lanes; ++lane)
          b.store(vector::ExtractOp::create(b, rounded, lane), out,
                  {row, b.index(first + lane)});
      }
    }
  });
}

static void lower(nn::RotaryOp op, LoopBuilder &b) {
  Value x = op.getX(), cosines = op.getCos(), sines = op.getSin(),
        out = op.getOuts()[0];
  Value half = b.dim(cosines, 1), heads = b.index(op.getHeads());
  b.parallel(b.dim(x, 0), [&](Value t) {
    b.loop(heads, [&](Value head) {
      Value first = b.mul(head, b.add(half, half));
      b.columns(half, {x, cosines, sines, out}, [&](Value i, int64_t width) {
        Value low = b.add(first, i), high = b.add(low, half);
        Value u = b.load(x, {t, low}, width), v = b.load(x, {t, high}, width);
        Value cos = b.load(cosines, {t, i}, width),
              sin = b.load(sines, {t, i}, width);
        b.store(b.subF(b.mulF(u, cos), b.mulF(v, sin)), out, {t, low});
        b.store(b.addF(b.mulF(v, cos), b.mulF(u, sin)), out, {t, high});
      });
    });
  });
}

static void lower(nn::CacheAppendOp op, LoopBuilder &b) {
  Value x = op.getX(), lengths = op.getLengths(), cache = op.getOuts()[0];
  Value rows = b.dim(x, 0), headSize = b.dim(cache, 4);
  Value numTokens = b.rowsPerSequence(rows, b.dim(lengths, 0));
  b.lightParallel(rows, [&](Value row) {
    Value sequence = b.div(row, numTokens);
    Value position =
        b.add(b.loadIndex(lengths, sequence), b.rem(row, numTokens));
    b.loop(b.dim(cache, 3), [&](Value head) {
      b.columns(headSize, {x, cache}, [&](Value d, int64_t width) {
        b.store(b.load(x, {row, b.add(b.mul(head, headSize), d)}, width), cache,
                {op.getLayer(), sequence, position, head, d});
      });
    });
  });
}

static void lower(nn::LastRowsOp op, LoopBuilder &b) {
  Value x = op.getX(), out = op.getOuts()[0];
  Value numTokens = b.dim(op.getIds(), 1);
  b.lightParallel(b.dim(op.getIds(), 0), [&](Value sequence) {
    // Callers refuse S = 0; code that is called all the same must not read the
    // row before the first one.
    Value some = b.compare(arith::CmpIPredicate::ne, numTokens, b.index(0));
    b.when(some, [&] {
      Value row =
          b.sub(b.mul(b.add(sequence, b.index(1)), numTokens), b.index(1));
      b.columns(b.dim(x, 1), {x, out}, [&](Value h, int64_t width) {
        b.store(b.load(x, {row, h}, width), out, {sequence, h});
      });
    });
  });
}

LogicalResult moe::lowerNN(Operation *op, LoopBuilder &b) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<nn::LinearOp, nn::EmbeddingOp, nn::RMSNormOp, nn::RotaryTableOp,
            nn::RotaryOp, nn::CacheAppendOp, nn::LastRowsOp>([&](auto kernel) {
        lower(kernel, b);
        return success();
      })
      .Default([](Operation *) { return failure(); });
}
