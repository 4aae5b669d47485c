//===- Rows.cpp - Kernels that move and combine rows ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Rows.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "moe/Dialect/MoE/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr int64_t kMaxThreads = 256, kWarp = 32;
/// Of a grid along y (CUDA C++ Programming Guide, table of compute
/// capabilities).
static constexpr int64_t kMaxGridY = 65535;

//===----------------------------------------------------------------------===//
// A thread per column
//===----------------------------------------------------------------------===//

bool moe::canLaunchPerColumn(int64_t columns) {
  return ShapedType::isStatic(columns) && columns > 0 &&
         columns <= kMaxGridY * kMaxThreads;
}

void moe::launchPerColumn(
    OpBuilder &b, Location loc, KernelModule &kernels, StringRef name,
    StringRef key, Value rows, int64_t columns, ValueRange arguments,
    function_ref<void(KernelBuilder &, Value, Value)> build) {
  KernelShape shape;
  shape.threads =
      std::min(llvm::alignTo(columns, kWarp), uint64_t(kMaxThreads));
  auto types = llvm::map_to_vector(arguments, [&](Value argument) -> Type {
    if (isa<MemRefType>(argument.getType()))
      return LLVM::LLVMPointerType::get(b.getContext());
    return b.getI64Type();
  });
  std::string all = (key + " " + Twine(columns)).str();
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName(name, all), types, shape, [&](KernelBuilder &body) {
        Value part =
            body.mul(body.toI64(body.blockId(1)), body.i64(shape.threads));
        Value column = body.add(part, body.toI64(body.threadId()));
        auto run = [&] { build(body, body.toI64(body.blockId()), column); };
        if (columns % shape.threads == 0)
          run();
        else
          body.when(body.less(column, body.i64(columns)), run);
      });
  Value parts = arith::ConstantIndexOp::create(
      b, loc, llvm::divideCeil(columns, shape.threads));
  buildLaunch(b, loc, kernel, {rows, parts}, arguments);
}

//===----------------------------------------------------------------------===//
// moe.combine_rows and moe.gather_rows
//===----------------------------------------------------------------------===//

namespace {
/// How a block divides a row of `columns` f32 numbers: each thread has `width`
/// neighbours, in one access of 16 bytes if rows are that long. They are
/// aligned: memory starts at multiples of 16 bytes at least.
struct RowShape {
  explicit RowShape(int64_t columns)
      : columns(columns), width(columns % 4 == 0   ? 4
                                : columns % 2 == 0 ? 2
                                                   : 1) {
    int64_t chunks = columns / width;
    parts = llvm::divideCeil(chunks, kMaxThreads);
    threads = llvm::alignTo(llvm::divideCeil(chunks, parts), kWarp);
  }

  static bool canHave(int64_t columns) {
    return ShapedType::isStatic(columns) && columns > 0 &&
           RowShape(columns).parts <= kMaxGridY;
  }
  bool hasTail() const { return parts * threads * width != columns; }

  int64_t columns, width;
  /// Blocks along y, and threads of each.
  int64_t parts, threads;
};

/// What kernels of rows have in common. All threads of a block have the same
/// rows, so that a warp loads what is known of them once, a lane for each.
class RowKernel {
public:
  RowKernel(KernelBuilder &b, const RowShape &shape)
      : b(b), shape(shape), lane(b.laneId()) {
    Value thread =
        b.add(b.mul(b.blockId(1), b.i32(shape.threads)), b.threadId());
    Value last = b.i32(shape.columns / shape.width - 1);
    inside = b.i1(true);
    chunk = thread;
    if (shape.hasTail()) {
      // All lanes are needed: those behind the end repeat the last columns.
      inside = b.compare(arith::CmpIPredicate::ule, thread, last);
      chunk = b.min(thread, last);
    }
  }

protected:
  Value load(Type type, unsigned argument, Value index) {
    return b.load(type, b.at(type, b.global(b.argument(argument)), index), 4);
  }
  /// This thread's columns of a row.
  Value locate(unsigned argument, Value row) {
    int64_t chunks = shape.columns / shape.width;
    Value number = b.add(b.mul(b.toI64(row), b.i64(chunks)), b.toI64(chunk));
    return b.at(getChunkType(), b.global(b.argument(argument)), number);
  }
  SmallVector<Value> loadChunk(Value address) {
    return b.unpack(b.load(getChunkType(), address, 4 * shape.width));
  }
  void storeChunk(ArrayRef<Value> values, Value address) {
    b.store(b.pack(values), address, 4 * shape.width);
  }

  KernelBuilder &b;
  const RowShape &shape;
  Value lane, chunk, inside; // i32, i32, i1

private:
  Type getChunkType() { return VectorType::get(shape.width, b.getF32Type()); }
};

/// The rows of a token in ascending expert, one FMA each, as on the CPU.
class CombineKernel : RowKernel {
public:
  enum : unsigned { kRows, kOffsets, kTokenRows, kOut, kWeights };

  CombineKernel(KernelBuilder &b, const RowShape &shape, bool isWeighted)
      : RowKernel(b, shape), isWeighted(isWeighted) {}

  void build() {
    Type i32 = b.getI32Type();
    Value token = b.blockId();
    Value to = locate(kOut, token);
    SmallVector<Type> types(shape.width, b.getF32Type());
    // Others store the last columns: who repeats them must not look.
    SmallVector<Value> sums = b.pick(
        inside, types, [&] { return loadChunk(to); },
        [&] { return SmallVector<Value>(shape.width, b.f32(0)); });
    Value first = load(i32, kOffsets, token);
    Value last = load(i32, kOffsets, b.add(token, b.i32(1)));
    sums = b.reduce(first, last, b.i32(kWarp), sums,
                    [&](Value start, ValueRange before) {
                      return addUpTo32(start, b.sub(last, start), before);
                    });
    b.when(inside, [&] { storeChunk(sums, to); });
  }

private:
  /// Rows whose loads are under way at once.
  static constexpr int64_t kAtOnce = 8;

  /// The next rows, from entry `start` of the token's list on.
  SmallVector<Value> addUpTo32(Value start, Value count, ValueRange before) {
    Value own = b.add(start, b.min(lane, b.sub(count, b.i32(1))));
    row = load(b.getI32Type(), kTokenRows, own);
    weight = isWeighted ? load(b.getF32Type(), kWeights, row) : b.f32(1);
    count = b.min(count, b.i32(kWarp));
    Value next = b.bitAnd(count, b.i32(-kAtOnce));
    SmallVector<Value> sums = b.reduce(b.i32(0), next, b.i32(kAtOnce), before,
                                       [&](Value number, ValueRange sums) {
                                         return add(number, kAtOnce, sums);
                                       });
    for (int64_t rows = kAtOnce / 2; rows > 0; rows /= 2) {
      Value some = b.bitAnd(count, b.i32(rows));
      SmallVector<Type> types(shape.width, b.getF32Type());
      sums = b.pick(
          b.compare(arith::CmpIPredicate::ne, some, b.i32(0)), types,
          [&] { return add(next, rows, sums); }, [&] { return sums; });
      next = b.add(next, some);
    }
    return sums;
  }

  /// The rows of lanes `first` to `first + rows`.
  SmallVector<Value> add(Value first, int64_t rows, ValueRange before) {
    SmallVector<SmallVector<Value>> loaded;
    for (int64_t i = 0; i < rows; ++i)
      loaded.push_back(
          loadChunk(locate(kRows, b.shuffle(row, b.add(first, b.i32(i))))));
    SmallVector<Value> sums(before);
    for (auto [i, values] : llvm::enumerate(loaded)) {
      Value factor =
          isWeighted ? b.shuffle(weight, b.add(first, b.i32(i))) : weight;
      for (auto [sum, value] : llvm::zip_equal(sums, values))
        sum = b.fma(factor, value, sum);
    }
    return sums;
  }

  bool isWeighted;
  Value row, weight; // of the entry that this lane has
};

/// A few rows for each block, whose loads are under way at once.
class GatherKernel : RowKernel {
public:
  enum : unsigned { kX, kRowToken, kOffsets, kOut, kExperts, kWeights };
  static constexpr int64_t kRows = 4;

  GatherKernel(KernelBuilder &b, const RowShape &shape, bool isWeighted)
      : RowKernel(b, shape), isWeighted(isWeighted) {}

  /// The grid is for all rows that there may be; those of no expert stay.
  void build() {
    Value first = b.mul(b.blockId(), b.i32(kRows));
    Value rows = load(b.getI32Type(), kOffsets, b.argument(kExperts));
    b.when(b.less(first, rows), [&] { copy(first, b.sub(rows, first)); });
  }

private:
  void copy(Value first, Value count) {
    // Rows that do not exist are the last one, and are not stored.
    Value last = b.sub(count, b.i32(1));
    Value own = b.add(first, b.min(b.bitAnd(lane, b.i32(kRows - 1)), last));
    Value token = load(b.getI32Type(), kRowToken, own), weight;
    if (isWeighted)
      weight = load(b.getF32Type(), kWeights, own);
    SmallVector<SmallVector<Value>> loaded;
    for (int64_t i = 0; i < kRows; ++i)
      loaded.push_back(loadChunk(locate(kX, b.shuffle(token, b.i32(i)))));
    for (auto [i, values] : llvm::enumerate(loaded)) {
      if (isWeighted) {
        Value factor = b.shuffle(weight, b.i32(i));
        for (Value &value : values)
          value = b.mulF(factor, value);
      }
      Value row = b.i32(i);
      b.when(b.bitAnd(inside, b.less(row, count)), [&, &values = values] {
        storeChunk(values, locate(kOut, b.add(first, row)));
      });
    }
  }

  bool isWeighted;
};
} // namespace

/// Launches a kernel that `columns` and the class of a kernel say all about.
template <typename Kernel>
static void launchRows(OpBuilder &b, Location loc, KernelModule &kernels,
                       StringRef name, int64_t columns, Value blocks,
                       ValueRange arguments, bool isWeighted) {
  RowShape shape(columns);
  KernelShape kernelShape;
  kernelShape.threads = shape.threads;
  // 64 registers: unless told, ptxas leaves loads no more than 32, and spills.
  constexpr int64_t kWanted = 1024;
  kernelShape.minBlocks = kWanted / shape.threads;
  auto types = llvm::map_to_vector(arguments, [&](Value argument) -> Type {
    if (isa<MemRefType>(argument.getType()))
      return LLVM::LLVMPointerType::get(b.getContext());
    return b.getI64Type();
  });
  std::string key = ((isWeighted ? "weights " : " ") + Twine(columns)).str();
  LLVM::LLVMFuncOp kernel = kernels.getKernel(
      kernels.getName(name, key), types, kernelShape,
      [&](KernelBuilder &body) { Kernel(body, shape, isWeighted).build(); });
  Value parts = arith::ConstantIndexOp::create(b, loc, shape.parts);
  buildLaunch(b, loc, kernel, {blocks, parts}, arguments);
}

static LogicalResult select(CombineRowsOp op, KernelModule &kernels) {
  Value out = op.getOuts()[0];
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  if (!RowShape::canHave(columns))
    return failure();
  OpBuilder b(op);
  SmallVector<Value> arguments = {op.getRows(), op.getTokenOffsets(),
                                  op.getTokenRows(), out};
  bool isWeighted = bool(op.getRowWeight());
  if (isWeighted)
    arguments.push_back(op.getRowWeight());
  launchRows<CombineKernel>(b, op->getLoc(), kernels, "combine_rows", columns,
                            memref::DimOp::create(b, op->getLoc(), out, 0),
                            arguments, isWeighted);
  op->erase();
  return success();
}

static LogicalResult select(GatherRowsOp op, KernelModule &kernels) {
  Value out = op.getOuts()[0];
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  if (!RowShape::canHave(columns))
    return failure();
  OpBuilder b(op);
  Location loc = op->getLoc();
  Value experts = arith::SubIOp::create(
      b, loc, memref::DimOp::create(b, loc, op.getOffsets(), 0),
      arith::ConstantIndexOp::create(b, loc, 1));
  SmallVector<Value> arguments = {op.getX(), op.getRowToken(), op.getOffsets(),
                                  out, experts};
  bool isWeighted = bool(op.getRowWeight());
  if (isWeighted)
    arguments.push_back(op.getRowWeight());
  Value blocks = arith::CeilDivUIOp::create(
      b, loc, memref::DimOp::create(b, loc, out, 0),
      arith::ConstantIndexOp::create(b, loc, GatherKernel::kRows));
  launchRows<GatherKernel>(b, loc, kernels, "gather_rows", columns, blocks,
                           arguments, isWeighted);
  op->erase();
  return success();
}

LogicalResult moe::selectRows(Operation *op, KernelModule &kernels) {
  if (!hasDenseOperands(op))
    return failure();
  if (auto combine = dyn_cast<CombineRowsOp>(op))
    return select(combine, kernels);
  if (auto gather = dyn_cast<GatherRowsOp>(op))
    return select(gather, kernels);
  return failure();
}
