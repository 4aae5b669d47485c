//===- TileTable.h - Row tiles of experts, found on the device --*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_TILETABLE_H
#define MOE_LIB_CODEGEN_GPU_TILETABLE_H
#include "KernelBuilder.h"

namespace mlir::moe {

/// A table in shared memory that tells for each expert the number of its first
/// tile and of its first row. Every block makes it from `expert_offsets`, so
/// that no list of work need be written by one kernel and read by the next.
class TileTable {
public:
  static constexpr int64_t kMaxExperts = 1024;
  static constexpr int64_t kBytes = 2 * (kMaxExperts + 1) * 4;

  /// Rows [row, row + rows) of one expert, at most a tile's. All are i32.
  struct RowTile {
    Value expert, row, rows;
  };

  /// `shared`: kBytes; `experts` (i32): at most kMaxExperts.
  TileTable(KernelBuilder &b, Value shared, Value experts, int64_t tileRows);

  /// By one whole warp; then the threads must meet. `offsets`: [experts + 1].
  void build(Value offsets);
  /// Number of row tiles.
  Value getCount();
  /// `number` is below the count. Any thread may ask, on its own.
  RowTile find(Value number);

private:
  Value loadFrom(Value table, Value index);

  KernelBuilder &b;
  Value starts, rowStarts, experts;
  int64_t tileRows;
};

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_TILETABLE_H
