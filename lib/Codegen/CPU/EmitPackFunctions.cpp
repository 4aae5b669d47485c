//===- EmitPackFunctions.cpp - Code that lays weights out -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_EMITPACKFUNCTIONS
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// @NAME(dst [G, P, K, NR], src [count, N, K], first, part): columns of one
/// matrix into their panels, zeros behind the last one. See #moe.panels.
static void buildPack(OpBuilder &module, Location loc, StringRef name,
                      RankedTensorType packed, PanelsAttr panels) {
  // Elements only move, so integers do: the back end would widen bf16.
  Type index = module.getIndexType();
  Type element = module.getIntegerType(packed.getElementTypeBitWidth());
  int64_t lanes = panels.getLanes(), vectors = panels.getVectors();
  int64_t depth = packed.getDimSize(2), width = panels.getWidth();
  auto dstType = MemRefType::get(packed.getShape(), element);
  auto srcType = MemRefType::get(
      {ShapedType::kDynamic, panels.getColumns(), depth}, element);
  auto func = func::FuncOp::create(
      module, loc, name,
      module.getFunctionType({dstType, srcType, index, index}, {}));
  func.setPrivate();
  Block &args = *func.addEntryBlock();
  Value dst = args.getArgument(0), src = args.getArgument(1),
        first = args.getArgument(2), part = args.getArgument(3);
  ImplicitLocOpBuilder b(loc, module);
  b.setInsertionPointToStart(&args);
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  auto loop = [&](Value from, Value to, function_ref<void(Value)> body) {
    auto op = scf::ForOp::create(b, from, to, constant(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.getBody());
    body(op.getInductionVar());
  };
  auto add = [&](Value x, Value y) -> Value {
    return arith::AddIOp::create(b, x, y);
  };
  auto mul = [&](Value x, int64_t y) -> Value {
    return arith::MulIOp::create(b, x, constant(y));
  };
  bool paired = panels.isPaired(packed.getElementType());
  Value count = memref::DimOp::create(b, src, constant(0));
  auto parallel = ParallelOp::create(b, constant(packed.getDimSize(1)));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&parallel.getBody().front());
    loop(parallel.getBegin(), parallel.getEnd(), [&](Value panel) {
      loop(constant(0), count, [&](Value g) {
        Value group = add(first, g);
        loop(constant(0), constant(width), [&](Value c) {
          Value column = add(mul(panel, width), c);
          // Vector number and lane of this column.
          Value v = arith::DivUIOp::create(b, c, constant(lanes));
          Value lane = arith::RemUIOp::create(b, c, constant(lanes));
          Value vector = add(mul(part, vectors), v);
          Value place;
          if (paired) {
            Value pair = arith::DivUIOp::create(b, vector, constant(2));
            Value high = arith::RemUIOp::create(b, vector, constant(2));
            place = add(add(mul(pair, 2 * lanes), mul(lane, 2)), high);
          } else {
            place = add(mul(vector, lanes), lane);
          }
          Value exists =
              arith::CmpIOp::create(b, arith::CmpIPredicate::ult, column,
                                    constant(panels.getColumns()));
          auto branch = scf::IfOp::create(b, exists, /*withElseRegion=*/true);
          OpBuilder::InsertionGuard guard(b);
          b.setInsertionPointToStart(branch.thenBlock());
          loop(constant(0), constant(depth), [&](Value k) {
            Value value =
                memref::LoadOp::create(b, src, ValueRange{g, column, k});
            memref::StoreOp::create(b, value, dst,
                                    ValueRange{group, panel, k, place});
          });
          b.setInsertionPointToStart(branch.elseBlock());
          Value zero = arith::ConstantOp::create(b, b.getZeroAttr(element));
          loop(constant(0), constant(depth), [&](Value k) {
            memref::StoreOp::create(b, zero, dst,
                                    ValueRange{group, panel, k, place});
          });
        });
      });
    });
  }
  func::ReturnOp::create(b);
}

namespace {
struct EmitPackFunctionsPass
    : moe::impl::EmitPackFunctionsBase<EmitPackFunctionsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    SymbolTable symbols(module);
    // By packed type and panels; looked up only.
    llvm::DenseMap<std::pair<Type, Attribute>, std::string> names;
    unsigned next = 0;
    for (auto parameter : llvm::to_vector(module.getOps<ParameterOp>())) {
      if (!parameter.getPanels() || parameter.getPack())
        continue;
      auto [known, isNew] = names.try_emplace(
          {parameter.getTensorType(), *parameter.getPanels()});
      if (isNew) {
        do
          known->second = "pack." + std::to_string(next++);
        while (symbols.lookup(known->second));
        buildPack(b, parameter.getLoc(), known->second,
                  parameter.getTensorType(), *parameter.getPanels());
      }
      parameter.setPack(known->second);
    }
  }
};
} // namespace
