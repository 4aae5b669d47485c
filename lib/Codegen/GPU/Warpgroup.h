//===- Warpgroup.h - The machinery of sm_90a kernels ------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_CODEGEN_GPU_WARPGROUP_H
#define MOE_LIB_CODEGEN_GPU_WARPGROUP_H
#include "KernelBuilder.h"

namespace mlir::moe {

/// Threads that wgmma and setmaxnreg act on together.
constexpr int64_t kWarpgroup = 128;
/// Bytes of a row of a tile in shared memory, all of which one pattern of the
/// 128-byte swizzle covers; eight rows are its period.
constexpr int64_t kSwizzleRow = 128;
constexpr int64_t kBarrierBytes = 8;

//===----------------------------------------------------------------------===//
// Barriers in shared memory (PTX ISA, "mbarrier")
//===----------------------------------------------------------------------===//

void initBarrier(KernelBuilder &b, Value barrier, int64_t arrivals);
/// Makes new barriers known to copies; then the threads must meet.
void publishBarriers(KernelBuilder &b);
/// Waits until the phase of this parity (i32) has ended.
void waitFor(KernelBuilder &b, Value barrier, Value parity);
void arrive(KernelBuilder &b, Value barrier);
/// Arrives and lets the phase wait for `bytes` more; to be called before the
/// copies that bring them are started.
void arriveExpecting(KernelBuilder &b, Value barrier, Value bytes);

/// A ring of stages with a full and an empty barrier each, `full` first.
struct Ring {
  Value base; // of the barriers
  int64_t stages;

  static int64_t getBytes(int64_t stages) { return 2 * stages * kBarrierBytes; }
  Value full(KernelBuilder &b, Value stage) const;
  Value empty(KernelBuilder &b, Value stage) const;
  /// By one thread, before publishBarriers().
  void init(KernelBuilder &b, int64_t fullArrivals, int64_t emptyArrivals);
};

/// Where one side stands in a ring; both start at {0, 0}.
struct RingPosition {
  Value stage, phase; // i32

  RingPosition next(KernelBuilder &b, int64_t stages) const;
};

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

/// The box of a tensor map at these places, innermost first, to shared memory;
/// its bytes count at the barrier. By one thread.
void copyBox(KernelBuilder &b, Value shared, Value map, ValueRange places,
             Value barrier);
/// `bytes` (a multiple of 16) in a row, likewise.
void copyBulk(KernelBuilder &b, Value shared, Value global, Value bytes,
              Value barrier);
/// 16 bytes by this thread, of which the first `bytes` (0 or 16) are read and
/// the rest become zero.
void copyChunk(KernelBuilder &b, Value shared, Value global, Value bytes);
/// Ends a group of copyChunk().
void commitChunks(KernelBuilder &b);
/// Waits until at most `pending` groups of this thread are under way, and shows
/// what the others wrote to wgmma.
void publishChunks(KernelBuilder &b, int64_t pending);

//===----------------------------------------------------------------------===//
// Products (PTX ISA, "Asynchronous warpgroup level matrix instructions")
//===----------------------------------------------------------------------===//

/// Descriptor (i64) of a tile of swizzled rows, k innermost, at a multiple of
/// 1024 bytes. One unit is 16 bytes.
Value describeTile(KernelBuilder &b, Value shared);
/// Type of the accumulators that a thread has of 64 x `columns` sums.
LLVM::LLVMStructType getAccumulatorType(MLIRContext *context, int64_t columns);
/// Starts `sums += a b^T` for 64 values of k, or `sums = a b^T` with `first`,
/// and makes them one group.
Value multiply(KernelBuilder &b, Value sums, Value a, Value bTile, Type element,
               int64_t columns, bool first);
/// Waits until at most one group is under way: the stage before is free.
void waitForPrevious(KernelBuilder &b);
/// Waits for all groups. Sums may be read in what it returns only.
Value waitForSums(KernelBuilder &b, Value sums);
/// Row of 64 and column of the tile whose sum is number `i` of thread `thread`
/// of the warpgroup are `getSumRow() + 8 * ((i % 4) / 2)` and
/// `getSumColumn() + 8 * (i / 4) + i % 2`.
Value getSumRow(KernelBuilder &b, Value thread);
Value getSumColumn(KernelBuilder &b, Value thread);

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//

/// Number of this thread's warpgroup, known to be the same in all of it.
Value getWarpgroup(KernelBuilder &b);
/// Whether this thread is the one that its warp elects.
Value elect(KernelBuilder &b);
void setRegisters(KernelBuilder &b, int64_t count, bool increase);
/// Runs one of the two; `condition` is the same in a whole warp.
void branch(KernelBuilder &b, Value condition, function_ref<void()> ifTrue,
            function_ref<void()> ifFalse);

} // namespace mlir::moe
#endif // MOE_LIB_CODEGEN_GPU_WARPGROUP_H
