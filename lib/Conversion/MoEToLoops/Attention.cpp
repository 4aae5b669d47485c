//===- Attention.cpp - Attention over the cache as loops ------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "LoopBuilder.h"
#include "moe/Dialect/NN/IR/NN.h"
#include <limits>

using namespace mlir;
using namespace mlir::moe;

/// Online softmax over blocks of kLanes keys (Milakov and Gimelshein 2018,
/// algorithm 3). Blocks start at multiples of kLanes in the sequence, so the
/// bits of a row depend on its position alone, not on the call that it is in.
/// The row of the destination serves as accumulator. Query heads that share a
/// key/value head take turns on each block: it is read from memory once.
static void lower(nn::AttentionOp op, LoopBuilder &b) {
  Value q = op.getQ(), keys = op.getKeys(), values = op.getValues(),
        lengths = op.getLengths(), layer = op.getLayer(), out = op.getOuts()[0];
  Value rows = b.dim(q, 0), headSize = b.dim(keys, 4), kvHeads = b.dim(keys, 3);
  int64_t groupSize = op.getHeads() / sizeOf(keys, 3);
  Value group = b.index(groupSize);
  Value numTokens = b.rowsPerSequence(rows, b.dim(lengths, 0));
  Value zero = b.index(0), block = b.index(kLanes);
  Value lowest = b.f32(-std::numeric_limits<double>::infinity());
  Value scale = b.f32(op.getScale().convertToDouble());

  b.parallel(b.mul(rows, kvHeads), [&](Value item) {
    Value row = b.div(item, kvHeads), kvHead = b.rem(item, kvHeads);
    Value sequence = b.div(row, numTokens);
    // This row sees keys [first, end).
    Value end =
        b.add(b.add(b.loadIndex(lengths, sequence), b.rem(row, numTokens)),
              b.index(1));
    Value first = zero;
    if (op.getWindow())
      first = b.max(zero, b.sub(end, b.index(*op.getWindow())));
    Value scores = b.scratch({kLanes}), maxima = b.scratch({groupSize}),
          sums = b.scratch({groupSize});
    // Runs `body(member, start)`: the head's first column is `start`.
    auto forEachHead = [&](function_ref<void(Value, Value)> body) {
      b.loop(group, [&](Value member) {
        body(member, b.mul(b.add(b.mul(kvHead, group), member), headSize));
      });
    };

    forEachHead([&](Value member, Value start) {
      b.store(lowest, maxima, member);
      b.store(b.f32(0), sums, member);
      b.columns(headSize, out, [&](Value d, int64_t width) {
        b.store(b.splat(b.f32(0), width), out, {row, b.add(start, d)});
      });
    });
    b.loop(
        b.mul(b.div(first, block), block), end, block, [&](Value blockStart) {
          Value from = b.max(blockStart, first),
                to = b.min(b.add(blockStart, block), end);
          forEachHead([&](Value member, Value start) {
            // Lanes without a key have the score -infinity, so exp gives 0.
            b.store(b.splat(lowest, kLanes), scores, zero);
            b.loop(from, to, [&](Value key) {
              Value sum = b.dot(q, {row, start}, keys,
                                {layer, sequence, key, kvHead, zero}, headSize);
              b.store(b.mulF(sum, scale), scores, b.sub(key, blockStart));
            });
            Value lanes = b.load(scores, zero, kLanes);
            Value oldMax = b.load(maxima, member);
            Value max = b.maxF(oldMax, b.tree(lanes, [&](Value x, Value y) {
              return b.maxF(x, y);
            }));
            Value weights = b.exp(b.subF(lanes, b.splat(max, kLanes)));
            b.store(weights, scores, zero);
            Value rescale = b.exp(b.subF(oldMax, max));
            b.store(max, maxima, member);
            b.store(b.fma(b.load(sums, member), rescale, b.sumTree(weights)),
                    sums, member);
            b.columns(headSize, {values, out}, [&](Value d, int64_t width) {
              Value column = b.add(start, d);
              Value acc = b.mulF(b.load(out, {row, column}, width),
                                 b.splat(rescale, width));
              acc = b.reduce(from, to, acc, [&](Value key, Value acc) {
                Value weight = b.load(scores, b.sub(key, blockStart));
                return b.fma(
                    b.splat(weight, width),
                    b.load(values, {layer, sequence, key, kvHead, d}, width),
                    acc);
              });
              b.store(acc, out, {row, column});
            });
          });
        });
    forEachHead([&](Value member, Value start) {
      Value sum = b.load(sums, member);
      b.columns(headSize, out, [&](Value d, int64_t width) {
        Value column = b.add(start, d);
        b.store(b.divF(b.load(out, {row, column}, width), b.splat(sum, width)),
                out, {row, column});
      });
    });
  });
}

LogicalResult moe::lowerAttention(Operation *op, LoopBuilder &b) {
  auto attention = dyn_cast<nn::AttentionOp>(op);
  if (!attention)
    return failure();
  lower(attention, b);
  return success();
}
