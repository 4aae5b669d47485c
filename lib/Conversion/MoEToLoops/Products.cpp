//===- Products.cpp - Products with unpacked weights ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"

using namespace mlir;
using namespace mlir::moe;

/// Rows and depth of a block: with kLanes columns, the two buffers fill 4 KiB.
constexpr int64_t kBlockRows = 32, kBlockDepth = 32;
/// Rows that run together: enough chains to hide the latency of an FMA.
constexpr int64_t kRowsAtOnce = 4;

/// Transposes kLanes vectors: every step turns the pairs (i, i + kLanes / 2)
/// into neighbours, which rotates the bits of (vector, lane) by one place.
static void transpose(LoopBuilder &b, SmallVectorImpl<Value> &vectors) {
  SmallVector<int64_t> low, high;
  for (int64_t i = 0; i < kLanes / 2; ++i) {
    low.append({i, kLanes + i});
    high.append({kLanes / 2 + i, kLanes + kLanes / 2 + i});
  }
  for (int64_t step = 1; step < kLanes; step *= 2) {
    SmallVector<Value> next;
    for (int64_t i = 0; i < kLanes / 2; ++i)
      for (ArrayRef<int64_t> half : {ArrayRef(low), ArrayRef(high)})
        next.push_back(vector::ShuffleOp::create(
            b, vectors[i], vectors[i + kLanes / 2], half));
    vectors = next;
  }
}

/// panel[k, n] = weight[from[0] + n, from[1] + k] for n < columns, k < depth.
static void copyBlock(LoopBuilder &b, Value weight, std::array<Value, 2> from,
                      Value columns, Value depth, Value panel) {
  Value zero = b.index(0), lanes = b.index(kLanes), whole = zero;
  if (b.isContiguous(weight)) {
    Value full = b.compare(arith::CmpIPredicate::eq, columns, lanes);
    whole = b.select(full, b.sub(depth, b.rem(depth, lanes)), zero);
    b.loop(zero, whole, lanes, [&](Value k) {
      SmallVector<Value> vectors;
      for (int64_t n = 0; n < kLanes; ++n)
        vectors.push_back(b.load(
            weight, {b.add(from[0], b.index(n)), b.add(from[1], k)}, kLanes));
      transpose(b, vectors);
      for (auto [i, vector] : llvm::enumerate(vectors))
        b.store(vector, panel, {b.add(k, b.index(i)), zero});
    });
  }
  b.loop(columns, [&](Value n) {
    b.loop(whole, depth, [&](Value k) {
      b.store(b.load(weight, {b.add(from[0], n), b.add(from[1], k)}), panel,
              {k, n});
    });
  });
}

/// One FMA chain per element in ascending k: lanes are columns, so weights are
/// first copied, one block at a time, to where neighbours are columns.
void moe::buildMatmul(LoopBuilder &b, Value x, Value weight, Value bias,
                      bool accumulate, Value out) {
  Value zero = b.index(0), one = b.index(1), lanes = b.index(kLanes);
  Value numRows = b.dim(x, 0), depth = b.dim(x, 1),
        numColumns = b.dim(weight, 0);
  auto finish = [&](Value sum, Value m, Value n) {
    if (bias)
      sum = b.addF(sum, b.load(bias, n));
    if (accumulate)
      sum = b.addF(b.load(out, {m, n}), sum);
    b.store(sum, out, {m, n});
  };
  if (b.getThreads() == Threads::Device) {
    // A thread for each element: blocks would need local memory.
    b.parallel(b.mul(numRows, numColumns), [&](Value i) {
      Value m = b.div(i, numColumns), n = b.rem(i, numColumns);
      Value sum = b.reduce(depth, b.f32(0), [&](Value k, Value acc) {
        return b.fma(b.load(x, {m, k}), b.load(weight, {n, k}), acc);
      });
      finish(sum, m, n);
    });
    return;
  }
  auto ceilDiv = [&](Value size, int64_t by) {
    return b.div(b.add(size, b.index(by - 1)), b.index(by));
  };
  Value rowBlocks = ceilDiv(numRows, kBlockRows);
  b.parallel(b.mul(ceilDiv(numColumns, kLanes), rowBlocks), [&](Value item) {
    Value firstColumn = b.mul(b.div(item, rowBlocks), lanes);
    Value columns = b.min(b.sub(numColumns, firstColumn), lanes);
    Value firstRow = b.mul(b.rem(item, rowBlocks), b.index(kBlockRows));
    Value rows = b.min(b.sub(numRows, firstRow), b.index(kBlockRows));
    Value panel = b.scratch({kBlockDepth, kLanes});
    Value sums = b.scratch({kBlockRows, kLanes});
    Value zeros = b.splat(b.f32(0), kLanes);
    b.loop(rows, [&](Value row) { b.store(zeros, sums, {row, zero}); });
    // Columns that do not exist count as 0.
    b.loop(b.index(kBlockDepth),
           [&](Value k) { b.store(zeros, panel, {k, zero}); });

    b.loop(zero, depth, b.index(kBlockDepth), [&](Value firstK) {
      Value depthHere = b.min(b.sub(depth, firstK), b.index(kBlockDepth));
      copyBlock(b, weight, {firstColumn, firstK}, columns, depthHere, panel);
      auto multiply = [&](Value row, int64_t count) {
        SmallVector<Value> places, starts;
        for (int64_t i = 0; i < count; ++i) {
          places.push_back(b.add(row, b.index(i)));
          starts.push_back(b.load(sums, {places.back(), zero}, kLanes));
        }
        SmallVector<Value> results = b.reduce(
            zero, depthHere, one, starts, [&](Value k, ValueRange chains) {
              Value columnsAtK = b.load(panel, {k, zero}, kLanes);
              SmallVector<Value> next;
              for (auto [place, chain] : llvm::zip(places, chains)) {
                Value at =
                    b.load(x, {b.add(firstRow, place), b.add(firstK, k)});
                next.push_back(b.fma(b.splat(at, kLanes), columnsAtK, chain));
              }
              return next;
            });
        for (auto [place, result] : llvm::zip(places, results))
          b.store(result, sums, {place, zero});
      };
      Value together = b.sub(rows, b.rem(rows, b.index(kRowsAtOnce)));
      b.loop(zero, together, b.index(kRowsAtOnce),
             [&](Value row) { multiply(row, kRowsAtOnce); });
      b.loop(together, rows, [&](Value row) { multiply(row, 1); });
    });

    b.loop(rows, [&](Value row) {
      b.loop(columns, [&](Value column) {
        finish(b.load(sums, {row, column}), b.add(firstRow, row),
               b.add(firstColumn, column));
      });
    });
  });
}
