//===- Products.h - Kernels of products that any GPU runs -------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_PRODUCTS_H
#define MOE_LIB_CODEGEN_GPU_PRODUCTS_H
#include "Product.h"

namespace mlir::moe {

/// How a block divides its work. Tables of these are in Products.cpp.
struct TileShape {
  /// Mean rows per expert up to which this one is meant.
  int64_t meanRows;
  /// Of the sums of a block. Several matrices share the columns.
  int64_t rows, columns;
  /// Values of k in one stage: f32 numbers for fused multiply-adds, 16-bit
  /// numbers (or half as many f32) for tensor cores.
  int64_t depth;
  int64_t stages;
  /// Warps of a block, along rows and along columns.
  int64_t rowWarps, columnWarps;

  int64_t getThreads() const { return 32 * rowWarps * columnWarps; }
};

/// What the code of a kernel depends on.
struct TileConfig {
  TileShape shape;
  bool tensorCores;
  Type a, b, out;
  Type bias;      // null: none
  unsigned parts; // matrices b
  bool grouped, gather, scatter, accumulate;
  bool addsPairs;             // of columns: see ScatteredRow
  int64_t depthTail;          // K modulo the depth
  int64_t aCopy, bCopy;       // bytes that are copied at a time
  bool columnTail, evenN;     // of N
  Region *epilogue = nullptr; // null: the sum

  /// Columns of one matrix: of the result.
  int64_t getColumns() const { return shape.columns / parts; }
  int64_t getRowBytes(Type type) const {
    return shape.depth * (type.getIntOrFloatBitWidth() / 8);
  }
  /// A stage: the tile of a, then one of each b.
  int64_t getABytes() const { return shape.rows * getRowBytes(a); }
  int64_t getBBytes() const { return getColumns() * getRowBytes(b); }
  int64_t getStageBytes() const { return getABytes() + parts * getBBytes(); }
  std::string getKey() const;
  ProductArguments getArguments() const {
    return ProductArguments(parts, bool(bias), grouped, gather, scatter);
  }
};

/// Rows of k in shared memory, as chunks of 16 bytes. Chunk c of row r is where
/// a plain layout has c ^ swizzle(r), so that the same chunk of eight
/// neighbouring rows, or all chunks of one row, are in different banks.
struct SharedRows {
  Value base;       // of the first row, in shared memory
  int64_t rowBytes; // 32, 64 or 128

  static constexpr int64_t kChunk = 16;

  int64_t getChunks() const { return rowBytes / kChunk; }
  int64_t swizzle(int64_t row) const;
  Value swizzle(KernelBuilder &b, Value row) const;
  /// Address of chunk `varying ^ chunk`, of row `row + fixedRow`, which have
  /// none of their last three bits in common.
  Value at(KernelBuilder &b, Value row, int64_t fixedRow, Value varying,
           int64_t chunk, int64_t byte = 0) const;
};

/// The part of a kernel that multiplies what is in shared memory.
class Multiplier {
public:
  Multiplier(KernelBuilder &b, const TileConfig &config)
      : b(b), config(config) {}
  virtual ~Multiplier() = default;

  /// Sums of this thread; f32.
  int64_t getNumSums() const {
    return config.shape.rows * config.shape.columns / config.shape.getThreads();
  }
  /// Adds the products of `depth` values of k, from the first of a stage on.
  virtual SmallVector<Value> multiply(SharedRows a, ArrayRef<SharedRows> bs,
                                      int64_t depth, ValueRange sums) = 0;
  /// Rows (i32, within the tile) that this thread has sums of.
  virtual SmallVector<Value> getRows() = 0;
  /// First of each group of `getWidth()` neighbouring columns.
  virtual SmallVector<Value> getColumns() = 0;
  virtual int64_t getWidth() = 0;
  /// Number of the sum of a matrix in row `i` of getRows() and place `within`
  /// of group `j` of getColumns().
  virtual int64_t getSum(unsigned part, int64_t i, int64_t j,
                         int64_t within) = 0;

protected:
  KernelBuilder &b;
  const TileConfig &config;
};

/// One chain of fused multiply-adds per sum, in ascending k: the bits of the
/// CPU.
std::unique_ptr<Multiplier> makeExactMultiplier(KernelBuilder &b,
                                                const TileConfig &config);
/// mma.sync on bf16, f16 or, of f32, tf32.
std::unique_ptr<Multiplier> makeTensorMultiplier(KernelBuilder &b,
                                                 const TileConfig &config);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_PRODUCTS_H
