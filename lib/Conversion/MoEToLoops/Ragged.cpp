//===- Ragged.cpp - Index maps and ops on ragged rows as loops ------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

/// Runs `body(t, j, e)` on the slots of an assignment that have an expert.
static void forEachEntry(LoopBuilder &b, Value experts, Value numExperts,
                         function_ref<void(Value, Value, Value)> body) {
  b.loop(b.dim(experts, 0), [&](Value t) {
    b.loop(b.dim(experts, 1), [&](Value j) {
      Value e = b.loadIndex(experts, {t, j});
      b.when(b.inside(e, numExperts), [&] { body(t, j, e); });
    });
  });
}

static void lower(PlanOp op, LoopBuilder &b) {
  Value experts = op.getExperts(), weights = op.getWeights();
  Value rowToken = op.getOuts()[0], rowWeight = op.getOuts()[1],
        expertOffsets = op.getOuts()[2], tokenOffsets = op.getOuts()[3],
        tokenRows = op.getOuts()[4];
  Value zero = b.index(0), one = b.index(1);
  Value numTokens = b.dim(experts, 0), numExperts = b.index(op.getNumExperts());
  auto increment = [&](Value memref, Value at) {
    b.store(b.add(b.loadIndex(memref, at), one), memref, at);
  };
  // counts[i] at i + 1 -> offsets.
  auto sumUp = [&](Value memref, Value count) {
    b.loop(count, [&](Value i) {
      Value next = b.add(i, one);
      b.store(b.add(b.loadIndex(memref, i), b.loadIndex(memref, next)), memref,
              next);
    });
  };
  // Filling used offsets[i] as a cursor, so it is offsets[i + 1] now.
  auto shiftBack = [&](Value memref, Value count) {
    b.loop(count, [&](Value i) {
      Value to = b.sub(count, i);
      b.store(b.loadIndex(memref, b.sub(to, one)), memref, to);
    });
    b.store(zero, memref, zero);
  };

  for (auto [memref, count] :
       {std::pair(expertOffsets, numExperts), {tokenOffsets, numTokens}})
    b.loop(b.add(count, one),
           [&, m = memref](Value i) { b.store(zero, m, i); });
  forEachEntry(b, experts, numExperts, [&](Value t, Value, Value e) {
    increment(expertOffsets, b.add(e, one));
    increment(tokenOffsets, b.add(t, one));
  });
  sumUp(expertOffsets, numExperts);
  sumUp(tokenOffsets, numTokens);
  forEachEntry(b, experts, numExperts, [&](Value t, Value j, Value e) {
    Value row = b.loadIndex(expertOffsets, e);
    b.store(t, rowToken, row);
    b.store(b.load(weights, {t, j}), rowWeight, row);
    increment(expertOffsets, e);
  });
  shiftBack(expertOffsets, numExperts);
  // Rows are visited in expert order, so each token's rows ascend in expert.
  b.loop(b.loadIndex(expertOffsets, numExperts), [&](Value row) {
    Value t = b.loadIndex(rowToken, row);
    b.store(row, tokenRows, b.loadIndex(tokenOffsets, t));
    increment(tokenOffsets, t);
  });
  shiftBack(tokenOffsets, numTokens);
}

static void lower(ListEntriesOp op, LoopBuilder &b) {
  using P = arith::CmpIPredicate;
  Value experts = op.getExperts(), one = b.index(1), zero = b.index(0);
  Value numSlots = b.dim(experts, 1), numExperts = b.index(op.getNumExperts());
  Value count = b.reduce(b.dim(experts, 0), zero, [&](Value t, Value first) {
    return b.reduce(numSlots, first, [&](Value j, Value next) {
      Value e = b.loadIndex(experts, {t, j});
      return b.pick(b.inside(e, numExperts), next, [&] {
        // The entry goes behind all of this token's that sort before it.
        Value place = b.reduce(numSlots, first, [&](Value i, Value place) {
          Value other = b.loadIndex(experts, {t, i});
          Value ties = arith::AndIOp::create(b, b.compare(P::eq, other, e),
                                             b.compare(P::slt, i, j));
          Value before =
              arith::OrIOp::create(b, b.compare(P::slt, other, e), ties);
          Value counts =
              arith::AndIOp::create(b, b.inside(other, numExperts), before);
          return b.select(counts, b.add(place, one), place);
        });
        b.store(t, op.getOuts()[0], place);
        b.store(e, op.getOuts()[1], place);
        b.store(b.load(op.getWeights(), {t, j}), op.getOuts()[2], place);
        return b.add(next, one);
      });
    });
  });
  b.store(count, op.getOuts()[3], zero);
}

static void lower(RowTilesOp op, LoopBuilder &b) {
  Value offsets = op.getOffsets(), tiles = op.getOuts()[0];
  Value zero = b.index(0), one = b.index(1), tile = b.index(op.getTile());
  Value numExperts = b.sub(b.dim(offsets, 0), one);
  Value count = b.reduce(numExperts, zero, [&](Value e, Value next) {
    Value first = b.loadIndex(offsets, e);
    Value rows = b.sub(b.loadIndex(offsets, b.add(e, one)), first);
    Value n = b.div(b.add(rows, b.sub(tile, one)), tile);
    b.loop(n, [&](Value i) {
      Value from = b.div(b.mul(rows, i), n);
      Value to = b.div(b.mul(rows, b.add(i, one)), n);
      Value at = b.add(next, i);
      b.store(e, tiles, {at, b.index(0)});
      b.store(b.add(first, from), tiles, {at, b.index(1)});
      b.store(b.sub(to, from), tiles, {at, b.index(2)});
      b.store(b.sub(n, i), tiles, {at, b.index(3)});
    });
    return b.add(next, n);
  });
  b.store(count, op.getOuts()[1], zero);
}

static void lower(GatherRowsOp op, LoopBuilder &b) {
  Value x = op.getX(), out = op.getOuts()[0];
  Value last = b.sub(b.dim(op.getOffsets(), 0), b.index(1));
  b.parallel(b.loadIndex(op.getOffsets(), last), [&](Value row) {
    Value t = b.loadIndex(op.getRowToken(), row);
    Value weight;
    if (op.getRowWeight())
      weight = b.load(op.getRowWeight(), row);
    b.columns(b.dim(x, 1), {x, out}, [&](Value h, int64_t width) {
      Value value = b.load(x, {t, h}, width);
      if (weight)
        value = b.mulF(b.splat(weight, width), value);
      b.store(value, out, {row, h});
    });
  });
}

/// Clones the scalar ops of an epilogue on `sums`; returns what it yields.
static Value buildEpilogue(LoopBuilder &b, Region &epilogue, ValueRange sums) {
  IRMapping mapping;
  mapping.map(epilogue.front().getArguments(), sums);
  for (Operation &scalar : epilogue.front().without_terminator())
    b.clone(scalar, mapping);
  auto yield = cast<YieldOp>(epilogue.front().getTerminator());
  return mapping.lookupOrDefault(yield.getValue());
}

static void lower(GroupedMatmulOp op, LoopBuilder &b) {
  Value a = op.getA(), offsets = op.getOffsets(), out = op.getOuts()[0];
  Value one = b.index(1);
  Value numExperts = b.sub(b.dim(offsets, 0), one);
  b.parallel(b.dim(out, 1), [&](Value n) {
    b.loop(numExperts, [&](Value e) {
      Value end = b.loadIndex(offsets, b.add(e, one));
      b.loop(b.loadIndex(offsets, e), end, [&](Value row) {
        Value from = op.getGather() ? b.loadIndex(op.getGather(), row) : row;
        SmallVector<Value> zeros(op.getBs().size(), b.f32(0));
        SmallVector<Value> sums = b.reduce(
            b.index(0), b.dim(a, 1), one, zeros,
            [&](Value k, ValueRange accumulators) {
              Value lhs = b.load(a, {from, k});
              SmallVector<Value> next;
              for (auto [rhs, acc] : llvm::zip(op.getBs(), accumulators))
                next.push_back(b.fma(lhs, b.load(rhs, {e, n, k}), acc));
              return next;
            });
        for (auto [sum, bias] : llvm::zip(sums, op.getBiases()))
          sum = b.addF(sum, b.load(bias, {e, n}));
        Value value = buildEpilogue(b, op.getEpilogue(), sums);
        if (op.getScatter().empty())
          return b.store(value, out, {row, n});
        Value to = b.loadIndex(op.getScatter()[0], row);
        b.store(
            b.fma(b.load(op.getScatter()[1], row), value, b.load(out, {to, n})),
            out, {to, n});
      });
    });
  });
}

static void lower(CombineRowsOp op, LoopBuilder &b) {
  Value rows = op.getRows(), weights = op.getRowWeight(), out = op.getOuts()[0];
  b.parallel(b.dim(out, 0), [&](Value t) {
    Value first = b.loadIndex(op.getTokenOffsets(), t);
    Value last = b.loadIndex(op.getTokenOffsets(), b.add(t, b.index(1)));
    b.columns(b.dim(out, 1), {rows, out}, [&](Value h, int64_t width) {
      Value sum = b.reduce(
          first, last, b.load(out, {t, h}, width), [&](Value i, Value acc) {
            Value row = b.loadIndex(op.getTokenRows(), i);
            Value weight = weights ? b.load(weights, row) : b.f32(1);
            return b.fma(b.splat(weight, width), b.load(rows, {row, h}, width),
                         acc);
          });
      b.store(sum, out, {t, h});
    });
  });
}

LogicalResult moe::lowerRagged(Operation *op, LoopBuilder &b) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<PlanOp, ListEntriesOp, RowTilesOp, GatherRowsOp, GroupedMatmulOp,
            CombineRowsOp>([&](auto ragged) {
        lower(ragged, b);
        return success();
      })
      .Default([](Operation *) { return failure(); });
}
