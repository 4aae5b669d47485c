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

static Value loadIndex(KernelBuilder &b, unsigned argument, Value at) {
  Type i32 = b.getI32Type();
  return b.toI64(b.load(i32, b.at(i32, b.argument(argument), at), 4));
}

/// The rows of a token in ascending expert, one FMA each, as on the CPU.
static LogicalResult select(CombineRowsOp op, KernelModule &kernels) {
  enum : unsigned { kRows, kOffsets, kTokenRows, kOut, kWeights };
  Value out = op.getOuts()[0];
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  if (!canLaunchPerColumn(columns))
    return failure();
  OpBuilder b(op);
  SmallVector<Value> arguments = {op.getRows(), op.getTokenOffsets(),
                                  op.getTokenRows(), out};
  bool isWeighted = bool(op.getRowWeight());
  if (isWeighted)
    arguments.push_back(op.getRowWeight());
  auto build = [&](KernelBuilder &b, Value token, Value column) {
    Type f32 = b.getF32Type();
    Value size = b.i64(columns);
    Value first = loadIndex(b, kOffsets, token);
    Value last = loadIndex(b, kOffsets, b.add(token, b.i64(1)));
    Value to = b.at(f32, b.argument(kOut), b.add(b.mul(token, size), column));
    Value sum = b.reduce(
        first, last, b.i64(1), b.load(f32, to, 4),
        [&](Value i, ValueRange sum) -> SmallVector<Value> {
          Value row = loadIndex(b, kTokenRows, i);
          Value weight = b.f32(1);
          if (isWeighted)
            weight = b.load(f32, b.at(f32, b.argument(kWeights), row), 4);
          Value from = b.add(b.mul(row, size), column);
          Value value = b.load(f32, b.at(f32, b.argument(kRows), from), 4);
          return {b.fma(weight, value, sum[0])};
        })[0];
    b.store(sum, to, 4);
  };
  launchPerColumn(b, op->getLoc(), kernels, "combine_rows",
                  isWeighted ? "weights" : "",
                  memref::DimOp::create(b, op->getLoc(), out, 0), columns,
                  arguments, build);
  op->erase();
  return success();
}

/// The grid is for all rows that there may be; those of no expert stay.
static LogicalResult select(GatherRowsOp op, KernelModule &kernels) {
  enum : unsigned { kX, kRowToken, kOffsets, kOut, kExperts, kWeights };
  Value out = op.getOuts()[0];
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  if (!canLaunchPerColumn(columns))
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
  auto build = [&](KernelBuilder &b, Value row, Value column) {
    Type f32 = b.getF32Type();
    Value size = b.i64(columns);
    Value rows = loadIndex(b, kOffsets, b.argument(kExperts));
    b.when(b.less(row, rows), [&] {
      Value token = loadIndex(b, kRowToken, row);
      Value from = b.add(b.mul(token, size), column),
            to = b.add(b.mul(row, size), column);
      Value value = b.load(f32, b.at(f32, b.argument(kX), from), 4);
      if (isWeighted) {
        Value weight = b.load(f32, b.at(f32, b.argument(kWeights), row), 4);
        value = b.mulF(weight, value);
      }
      b.store(value, b.at(f32, b.argument(kOut), to), 4);
    });
  };
  launchPerColumn(b, loc, kernels, "gather_rows", isWeighted ? "weights" : "",
                  memref::DimOp::create(b, loc, out, 0), columns, arguments,
                  build);
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
