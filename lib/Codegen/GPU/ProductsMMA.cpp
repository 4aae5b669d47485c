//===- ProductsMMA.cpp - Sums of mma.sync ---------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Products.h"

using namespace mlir;
using namespace mlir::moe;

/// Rows and columns of one mma.sync, which multiplies two chunks of k: m16n8k16
/// of 16-bit numbers, m16n8k8 of tf32 (PTX ISA, "Matrix Fragments").
static constexpr int64_t kRows = 16, kColumns = 8;
/// Columns that one ldmatrix.x4 brings both chunks of.
static constexpr int64_t kLoadColumns = 16;

namespace {
class TensorMultiplier : public Multiplier {
public:
  TensorMultiplier(KernelBuilder &b, const TileConfig &config);

  SmallVector<Value> multiply(SharedRows a, ArrayRef<SharedRows> bs,
                              int64_t depth, ValueRange sums) override;
  SmallVector<Value> getRows() override;
  SmallVector<Value> getColumns() override;
  int64_t getWidth() override { return 2; }
  int64_t getSum(unsigned part, int64_t i, int64_t j, int64_t within) override {
    return ((part * rowCount + i / 2) * columnCount + j) * 4 + 2 * (i % 2) +
           within;
  }

private:
  SmallVector<Value> loadMatrices(Value address);
  SmallVector<Value> multiplyTile(ValueRange a, ValueRange bTile,
                                  ValueRange sums);

  int64_t rowCount, columnCount; // tiles of mma.sync of this warp
  Value warpRow, warpColumn;
};
} // namespace

TensorMultiplier::TensorMultiplier(KernelBuilder &b, const TileConfig &config)
    : Multiplier(b, config) {
  const TileShape &shape = config.shape;
  rowCount = shape.rows / (shape.rowWarps * kRows);
  columnCount = config.getColumns() / (shape.columnWarps * kColumns);
  Value warp = b.warpId();
  warpRow = b.mul(b.rem(warp, b.i32(shape.rowWarps)), b.i32(rowCount * kRows));
  warpColumn =
      b.mul(b.div(warp, b.i32(shape.rowWarps)), b.i32(columnCount * kColumns));
}

// A lane has columns 2 (lane % 4) and the next, in rows lane / 4 and 8 below.
SmallVector<Value> TensorMultiplier::getRows() {
  Value first = b.add(warpRow, b.shr(b.laneId(), 2));
  return llvm::map_to_vector(llvm::seq(2 * rowCount), [&](int64_t i) {
    return b.add(first, b.i32(i * kRows / 2));
  });
}
SmallVector<Value> TensorMultiplier::getColumns() {
  Value first = b.add(warpColumn, b.shl(b.bitAnd(b.laneId(), b.i32(3)), 1));
  return llvm::map_to_vector(llvm::seq(columnCount), [&](int64_t i) {
    return b.add(first, b.i32(i * kColumns));
  });
}

/// Four matrices of 8 rows by 16 bytes; each lane gives the address of a row.
/// Lane l gets bytes 4 (l % 4) to 4 (l % 4) + 3 of row l / 4 of each: also what
/// fragments of tf32 are made of.
SmallVector<Value> TensorMultiplier::loadMatrices(Value address) {
  MLIRContext *context = b.getContext();
  Type i32 = b.getI32Type();
  auto four = LLVM::LLVMStructType::getLiteral(context, {i32, i32, i32, i32});
  Value all =
      NVVM::LdMatrixOp::create(b, four, address, 4, NVVM::MMALayout::row,
                               NVVM::LdStMatrixShapeAttr::get(context, 8, 8),
                               NVVM::LdStMatrixEltType::B16);
  return llvm::map_to_vector(llvm::seq<int64_t>(4), [&](int64_t i) -> Value {
    Value part = LLVM::ExtractValueOp::create(b, all, i);
    if (config.a.isF16())
      return LLVM::BitcastOp::create(b, VectorType::get(2, config.a), part);
    if (!config.a.isF32())
      return part;
    Value wide = LLVM::BitcastOp::create(b, config.a, part);
    return NVVM::ConvertFloatToTF32Op::create(b, i32, wide,
                                              NVVM::FPRoundingMode::RNA);
  });
}

SmallVector<Value> TensorMultiplier::multiplyTile(ValueRange a,
                                                  ValueRange bTile,
                                                  ValueRange sums) {
  Type f32 = b.getF32Type();
  auto result =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  NVVM::MMATypes type = config.a.isF16()    ? NVVM::MMATypes::f16
                        : config.a.isBF16() ? NVVM::MMATypes::bf16
                                            : NVVM::MMATypes::tf32;
  Value all = NVVM::MmaOp::create(
      b, result, a, bTile, sums, {kRows, kColumns, config.a.isF32() ? 8 : 16},
      std::nullopt, std::nullopt, std::array{type, type},
      std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
  return llvm::map_to_vector(llvm::seq<int64_t>(4), [&](int64_t i) -> Value {
    return LLVM::ExtractValueOp::create(b, all, i);
  });
}

SmallVector<Value> TensorMultiplier::multiply(SharedRows a,
                                              ArrayRef<SharedRows> bs,
                                              int64_t depth,
                                              ValueRange before) {
  SmallVector<Value> sums(before);
  Value lane = b.laneId();
  // Lanes 0 to 15 give the rows of a's first chunk, 16 to 31 of its second.
  Value aRow = b.add(warpRow, b.bitAnd(lane, b.i32(15))),
        aChunk = b.shr(lane, 4);
  // Lanes 0 to 7 and 8 to 15 give both chunks of columns 0 to 7, the others
  // those of columns 8 to 15.
  Value bRow = b.add(
      warpColumn, b.bitOr(b.bitAnd(lane, b.i32(7)), b.shl(b.shr(lane, 4), 3)));
  Value bChunk = b.bitAnd(b.shr(lane, 3), b.i32(1));
  int64_t chunks =
      depth * (config.a.getIntOrFloatBitWidth() / 8) / SharedRows::kChunk;
  for (int64_t chunk = 0; chunk < chunks; chunk += 2) {
    SmallVector<SmallVector<Value>> left, right;
    for (int64_t i = 0; i < rowCount; ++i)
      left.push_back(loadMatrices(a.at(b, aRow, i * kRows, aChunk, chunk)));
    for (SharedRows rows : bs)
      for (int64_t j = 0; j < columnCount * kColumns; j += kLoadColumns) {
        SmallVector<Value> loaded =
            loadMatrices(rows.at(b, bRow, j, bChunk, chunk));
        right.push_back({loaded[0], loaded[1]});
        right.push_back({loaded[2], loaded[3]});
      }
    for (unsigned part = 0; part < config.parts; ++part)
      for (int64_t i = 0; i < rowCount; ++i)
        for (int64_t j = 0; j < columnCount; ++j) {
          int64_t first = getSum(part, 2 * i, j, 0);
          SmallVector<Value> next =
              multiplyTile(left[i], right[part * columnCount + j],
                           ValueRange(sums).slice(first, 4));
          llvm::copy(next, sums.begin() + first);
        }
  }
  return sums;
}

std::unique_ptr<Multiplier>
moe::makeTensorMultiplier(KernelBuilder &b, const TileConfig &config) {
  return std::make_unique<TensorMultiplier>(b, config);
}
