//===- ProductsF32.cpp - Sums of fused multiply-adds ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Products.h"

using namespace mlir;
using namespace mlir::moe;

/// Lanes of a warp along rows and columns. A quarter of a warp, which is what
/// reads 16 bytes per lane at once, shares a row of a and has eight rows of b.
static constexpr int64_t kRowLanes = 4, kColumnLanes = 8;
/// Values of k that a thread loads at a time.
static constexpr int64_t kQuad = 4;

namespace {
class ExactMultiplier : public Multiplier {
public:
  ExactMultiplier(KernelBuilder &b, const TileConfig &config);

  SmallVector<Value> multiply(SharedRows a, ArrayRef<SharedRows> bs,
                              int64_t depth, ValueRange sums) override;
  SmallVector<Value> getRows() override;
  SmallVector<Value> getColumns() override;
  int64_t getWidth() override { return 1; }
  int64_t getSum(unsigned part, int64_t i, int64_t j, int64_t) override {
    return (part * rowCount + i) * columnCount + j;
  }

private:
  SmallVector<Value> loadQuad(Type type, SharedRows rows, Value row,
                              int64_t fixedRow, int64_t k);

  int64_t rowCount, columnCount; // of this thread
  Value firstRow, firstColumn;
};
} // namespace

ExactMultiplier::ExactMultiplier(KernelBuilder &b, const TileConfig &config)
    : Multiplier(b, config) {
  const TileShape &shape = config.shape;
  rowCount = shape.rows / (shape.rowWarps * kRowLanes);
  columnCount = config.getColumns() / (shape.columnWarps * kColumnLanes);
  Value lane = b.laneId(), warp = b.warpId();
  Value rowWarp = b.rem(warp, b.i32(shape.rowWarps));
  Value columnWarp = b.div(warp, b.i32(shape.rowWarps));
  firstRow = b.add(b.mul(rowWarp, b.i32(rowCount * kRowLanes)),
                   b.div(lane, b.i32(kColumnLanes)));
  firstColumn = b.add(b.mul(columnWarp, b.i32(columnCount * kColumnLanes)),
                      b.rem(lane, b.i32(kColumnLanes)));
}

SmallVector<Value> ExactMultiplier::getRows() {
  return llvm::map_to_vector(llvm::seq(rowCount), [&](int64_t i) {
    return b.add(firstRow, b.i32(i * kRowLanes));
  });
}
SmallVector<Value> ExactMultiplier::getColumns() {
  return llvm::map_to_vector(llvm::seq(columnCount), [&](int64_t i) {
    return b.add(firstColumn, b.i32(i * kColumnLanes));
  });
}

/// Four neighbours along k as f32.
SmallVector<Value> ExactMultiplier::loadQuad(Type type, SharedRows rows,
                                             Value row, int64_t fixedRow,
                                             int64_t k) {
  int64_t bytes = type.getIntOrFloatBitWidth() / 8;
  int64_t place = k * bytes;
  Value address =
      rows.at(b, row, fixedRow, /*varying=*/Value(), place / SharedRows::kChunk,
              place % SharedRows::kChunk);
  Value quad = b.load(VectorType::get(kQuad, type), address, kQuad * bytes);
  return llvm::map_to_vector(b.unpack(quad),
                             [&](Value value) { return b.widen(value); });
}

SmallVector<Value> ExactMultiplier::multiply(SharedRows a,
                                             ArrayRef<SharedRows> bs,
                                             int64_t depth, ValueRange before) {
  SmallVector<Value> sums(before);
  for (int64_t k = 0; k < depth; k += kQuad) {
    SmallVector<SmallVector<Value>> left, right;
    for (int64_t i = 0; i < rowCount; ++i)
      left.push_back(loadQuad(config.a, a, firstRow, i * kRowLanes, k));
    for (SharedRows rows : bs)
      for (int64_t j = 0; j < columnCount; ++j)
        right.push_back(
            loadQuad(config.b, rows, firstColumn, j * kColumnLanes, k));
    // What is behind the end of K is left out: adding 0 would make 0 of -0.
    for (int64_t inner = 0; inner < std::min(kQuad, depth - k); ++inner)
      for (unsigned part = 0; part < config.parts; ++part)
        for (int64_t i = 0; i < rowCount; ++i)
          for (int64_t j = 0; j < columnCount; ++j) {
            Value &sum = sums[getSum(part, i, j, 0)];
            sum = b.fma(left[i][inner], right[part * columnCount + j][inner],
                        sum);
          }
  }
  return sums;
}

std::unique_ptr<Multiplier> moe::makeExactMultiplier(KernelBuilder &b,
                                                     const TileConfig &config) {
  return std::make_unique<ExactMultiplier>(b, config);
}
