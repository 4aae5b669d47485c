//===- LowerPackedMatmul.cpp - Register-tiled kernels ---------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
//
// A kernel holds `rows` x (vectors * parts) accumulators in registers and runs
// over k once; there is one function per row count, so that no row is masked.
// A parallel loop over column panels walks the groups' row tiles. While tile t
// of a panel runs, its share of the next panel is prefetched: the first tile of
// a panel would otherwise run at the speed of memory and the others at the
// speed of the FMA units, one after the other.
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "moe/Codegen/Passes.h"
#include "moe/Conversion/ExpandElementwise.h"
#include "moe/Dialect/MoE/IR/MoE.h"

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERPACKEDMATMUL
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// Steps of k in one iteration: enough to hide the loop's own cost
/// (2 and 4 measured equal).
static constexpr int64_t kUnroll = 4;
/// Bytes of a cache line.
static constexpr int64_t kLine = 64;

namespace {
/// The names of kernels in a module.
struct Kernels {
  explicit Kernels(ModuleOp module) : symbols(module) {}

  /// "matmul.N" such that no symbol of the module starts like it.
  std::string makePrefix() {
    while (true) {
      std::string prefix = "matmul." + std::to_string(next++);
      auto isTaken = [&](Operation &op) {
        auto name =
            op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
        return name && name.getValue().starts_with(prefix + ".");
      };
      if (llvm::none_of(symbols.getOp()->getRegion(0).front(), isTaken))
        return prefix;
    }
  }

  SymbolTable symbols;
  llvm::StringMap<std::string> prefixes; // by form; looked up only
  unsigned next = 0;
};

/// Emits the kernels and the driver of one moe.packed_matmul.
class Emitter {
public:
  Emitter(PackedMatmulOp op, Kernels &kernels)
      : op(op), kernels(kernels), panels(op.getPanels()),
        lanes(panels.getLanes()), vectors(panels.getVectors()),
        parts(panels.getParts()), columns(panels.getColumns()),
        width(panels.getWidth()), bType(cast<MemRefType>(op.getB().getType())),
        depth(bType.getDimSize(2)), maxRows(op.getTileRows()) {}

  void run() {
    std::string prefix = getKernelPrefix();
    ImplicitLocOpBuilder b(op.getLoc(), op);
    buildDriver(b, prefix);
    op.erase();
  }

private:
  VectorType vectorOf(Type element, int64_t n) const {
    return VectorType::get({n}, element);
  }
  VectorType f32Vector() {
    return vectorOf(Float32Type::get(op.getContext()), lanes);
  }
  bool isScatter() { return !op.getScatter().empty(); }

  /// Everything that a kernel gets from the op, in order.
  SmallVector<Value> getKernelOperands() {
    SmallVector<Value> operands{op.getA(), op.getB(), op.getOuts()[0]};
    llvm::append_range(operands, op.getBiases());
    if (op.getGather())
      operands.push_back(op.getGather());
    llvm::append_range(operands, op.getScatter());
    return operands;
  }

  /// A name for kernels of this form; ops of one form share them.
  std::string getKernelPrefix() {
    std::string key;
    llvm::raw_string_ostream os(key);
    os << panels << ' ' << maxRows << ' ' << op.getAccumulate() << ' '
       << op.getBiases().size() << ' ' << bool(op.getGather()) << ' '
       << isScatter();
    for (Value operand : getKernelOperands())
      os << ' ' << operand.getType();
    for (Operation &inner : op.getEpilogue().front()) {
      os << ' ';
      OpPrintingFlags flags;
      flags.useLocalScope();
      inner.print(os, flags);
    }
    std::string &prefix = kernels.prefixes[key];
    if (prefix.empty())
      prefix = kernels.makePrefix();
    return prefix;
  }

  //===--------------------------------------------------------------------===//
  // Kernel
  //===--------------------------------------------------------------------===//

  /// The vectors of one row of a panel, widened to f32: [part * vectors + v].
  SmallVector<Value> loadPanelRow(ImplicitLocOpBuilder &b, Value matrix,
                                  Value group, Value panel, Value k) {
    Type element = bType.getElementType();
    SmallVector<Value> result;
    auto load = [&](int64_t at, int64_t n) -> Value {
      Value column = arith::ConstantIndexOp::create(b, at);
      return vector::LoadOp::create(b, vectorOf(element, n), matrix,
                                    ValueRange{group, panel, k, column});
    };
    for (int64_t i = 0; i < vectors * parts; ++i) {
      if (element.isF32()) {
        result.push_back(load(i * lanes, lanes));
      } else if (!panels.isPaired(element)) {
        result.push_back(
            arith::ExtFOp::create(b, f32Vector(), load(i * lanes, lanes)));
      } else if (i % 2 == 0) {
        // Word j holds column j of vector i low and of vector i + 1 high.
        Type words = vectorOf(b.getI32Type(), lanes);
        Value pair = vector::BitCastOp::create(b, cast<VectorType>(words),
                                               load(i * lanes, 2 * lanes));
        Value sixteen = splat(b, words, 16), mask = splat(b, words, -65536);
        Value low = arith::ShLIOp::create(b, pair, sixteen);
        Value high = arith::AndIOp::create(b, pair, mask);
        result.push_back(arith::BitcastOp::create(b, f32Vector(), low));
        result.push_back(arith::BitcastOp::create(b, f32Vector(), high));
      }
    }
    return result;
  }

  Value splat(ImplicitLocOpBuilder &b, Type type, int64_t value) {
    auto vector = cast<VectorType>(type);
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(
               vector, b.getI32IntegerAttr(static_cast<int32_t>(value))));
  }

  /// `lanes` columns of a row as f32; masked in the last panel, where they are
  /// f32 in memory.
  Value loadColumns(ImplicitLocOpBuilder &b, Value memref, ValueRange at,
                    Value mask) {
    Type element = cast<MemRefType>(memref.getType()).getElementType();
    VectorType type = vectorOf(element, lanes);
    if (!mask) {
      Value value = vector::LoadOp::create(b, type, memref, at);
      return element.isF32()
                 ? value
                 : arith::ExtFOp::create(b, f32Vector(), value).getResult();
    }
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(f32Vector()));
    return vector::MaskedLoadOp::create(b, type, memref, at, mask, zero);
  }

  /// The bias of vector `v` of a panel. `mask` is that of loadColumns.
  Value loadBias(ImplicitLocOpBuilder &b, Value bias, Value group, Value column,
                 int64_t v, Value mask) {
    Type element = cast<MemRefType>(bias.getType()).getElementType();
    if (!mask || element.isF32())
      return loadColumns(b, bias, ValueRange{group, column}, mask);
    // One by one: few machines load 16-bit elements under a mask, and without
    // that LLVM would call a library to narrow what it had widened.
    Value result = arith::ConstantOp::create(b, b.getZeroAttr(f32Vector()));
    int64_t left = columns % width - v * lanes;
    for (int64_t lane = 0; lane < std::min(left, lanes); ++lane) {
      Value at = arith::AddIOp::create(b, column,
                                       arith::ConstantIndexOp::create(b, lane));
      Value narrow = memref::LoadOp::create(b, bias, ValueRange{group, at});
      Value scalar = arith::ExtFOp::create(b, b.getF32Type(), narrow);
      result = vector::InsertOp::create(b, scalar, result, lane);
    }
    return result;
  }

  /// Epilogue and stores of all rows. `mask[v]` is null for whole vectors.
  void finish(ImplicitLocOpBuilder &b, Block &args, int64_t rows,
              ValueRange sums, ValueRange rowIndices, Value group, Value panel,
              bool masked) {
    unsigned next = 3;
    Value out = args.getArgument(2);
    SmallVector<Value> biases;
    for (unsigned i = 0; i < op.getBiases().size(); ++i)
      biases.push_back(args.getArgument(next++));
    if (op.getGather())
      ++next;
    Value rowToken, rowWeight;
    if (isScatter()) {
      rowToken = args.getArgument(next++);
      rowWeight = args.getArgument(next++);
    }
    Value base = arith::MulIOp::create(
        b, panel, arith::ConstantIndexOp::create(b, width));
    SmallVector<Value> at, masks;
    for (int64_t v = 0; v < vectors; ++v) {
      Value offset = arith::ConstantIndexOp::create(b, v * lanes);
      at.push_back(arith::AddIOp::create(b, base, offset));
      Value mask;
      if (masked) {
        Value total = arith::ConstantIndexOp::create(b, columns);
        Value left = arith::SubIOp::create(b, total, at.back());
        mask = vector::CreateMaskOp::create(b, vectorOf(b.getI1Type(), lanes),
                                            ValueRange{left});
      }
      masks.push_back(mask);
    }
    SmallVector<Value> biasVectors;
    for (Value bias : biases)
      for (int64_t v = 0; v < vectors; ++v)
        biasVectors.push_back(loadBias(b, bias, group, at[v], v, masks[v]));
    Block &epilogue = op.getEpilogue().front();
    for (int64_t r = 0; r < rows; ++r) {
      Value outRow = rowIndices[r], weight;
      if (isScatter()) {
        Value token = memref::LoadOp::create(b, rowToken, rowIndices[r]);
        outRow = arith::IndexCastOp::create(b, b.getIndexType(), token);
        Value scalar = memref::LoadOp::create(b, rowWeight, rowIndices[r]);
        weight = vector::BroadcastOp::create(b, f32Vector(), scalar);
      }
      for (int64_t v = 0; v < vectors; ++v) {
        IRMapping mapping;
        for (int64_t p = 0; p < parts; ++p) {
          Value sum = sums[(r * parts + p) * vectors + v];
          if (!biasVectors.empty())
            sum = arith::AddFOp::create(b, sum, biasVectors[p * vectors + v]);
          mapping.map(epilogue.getArgument(p), sum);
        }
        Value value = cloneEpilogue(b, epilogue, mapping);
        SmallVector<Value> where{outRow, at[v]};
        if (isScatter() || op.getAccumulate()) {
          Value old = loadColumns(b, out, where, masks[v]);
          value = isScatter()
                      ? vector::FMAOp::create(b, weight, value, old).getResult()
                      : arith::AddFOp::create(b, old, value).getResult();
        }
        if (masks[v])
          vector::MaskedStoreOp::create(b, out, where, masks[v], value);
        else
          vector::StoreOp::create(b, value, out, where);
      }
    }
  }

  /// The epilogue on vectors.
  Value cloneEpilogue(ImplicitLocOpBuilder &b, Block &epilogue,
                      IRMapping &mapping) {
    SmallVector<Operation *> clones;
    for (Operation &inner : epilogue.without_terminator()) {
      Operation *clone = b.clone(inner, mapping);
      if (auto constant = dyn_cast<arith::ConstantOp>(clone)) {
        mapping.map(inner.getResult(0),
                    vector::BroadcastOp::create(
                        b, vectorOf(constant.getType(), lanes), constant)
                        .getResult());
        continue;
      }
      for (OpResult result : clone->getResults())
        result.setType(vectorOf(result.getType(), lanes));
      clones.push_back(clone);
    }
    Value yielded =
        mapping.lookup(cast<YieldOp>(epilogue.getTerminator()).getValue());
    // Expansion replaces the clones; keep track of the one that is yielded.
    Operation *anchor =
        UnrealizedConversionCastOp::create(b, yielded.getType(), yielded);
    IRRewriter rewriter(b.getContext());
    for (Operation *clone : clones) {
      rewriter.setInsertionPoint(clone);
      (void)expandElementwise(rewriter, clone);
    }
    Value result = anchor->getOperand(0);
    anchor->erase();
    return result;
  }

  /// Kernel @PREFIX.ROWS(operands, group, panel, row[, next panel, its first k
  /// to prefetch]); with a prefetch it is @PREFIX.ROWS.ahead.
  func::FuncOp getKernel(StringRef prefix, int64_t rows, bool prefetch) {
    std::string name =
        (prefix + "." + Twine(rows) + (prefetch ? ".ahead" : "")).str();
    if (auto known = kernels.symbols.lookup<func::FuncOp>(name))
      return known;
    SmallVector<Value> operands = getKernelOperands();
    SmallVector<Type> types(ValueRange(operands).getTypes());
    OpBuilder module(op.getContext());
    module.setInsertionPointToEnd(
        cast<ModuleOp>(kernels.symbols.getOp()).getBody());
    types.append(prefetch ? 5 : 3, module.getIndexType());
    auto func = func::FuncOp::create(module, op.getLoc(), name,
                                     module.getFunctionType(types, {}));
    func.setPrivate();
    func->setAttr("passthrough", module.getStrArrayAttr({"noinline"}));
    kernels.symbols.insert(func);
    Block &args = *func.addEntryBlock();
    ImplicitLocOpBuilder b(op.getLoc(), module);
    b.setInsertionPointToStart(&args);
    unsigned n = operands.size();
    Value a = args.getArgument(0), matrix = args.getArgument(1);
    Value group = args.getArgument(n), panel = args.getArgument(n + 1),
          row = args.getArgument(n + 2);
    SmallVector<Value> rowIndices, aRows;
    Value gather;
    if (op.getGather())
      gather = args.getArgument(3 + op.getBiases().size());
    for (int64_t r = 0; r < rows; ++r) {
      Value offset = arith::ConstantIndexOp::create(b, r);
      rowIndices.push_back(arith::AddIOp::create(b, row, offset));
      if (gather) {
        Value token = memref::LoadOp::create(b, gather, rowIndices.back());
        aRows.push_back(arith::IndexCastOp::create(b, b.getIndexType(), token));
      } else {
        aRows.push_back(rowIndices.back());
      }
    }
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(f32Vector()));
    SmallVector<Value> sums(rows * parts * vectors, zero);
    int64_t whole = depth / kUnroll * kUnroll;
    Value first = arith::ConstantIndexOp::create(b, 0);
    Value wholeEnd = arith::ConstantIndexOp::create(b, whole);
    auto step = [&](ImplicitLocOpBuilder &b, Value k,
                    SmallVectorImpl<Value> &accs) {
      SmallVector<Value> row = loadPanelRow(b, matrix, group, panel, k);
      for (int64_t r = 0; r < rows; ++r) {
        Value scalar = memref::LoadOp::create(b, a, ValueRange{aRows[r], k});
        Value x = vector::BroadcastOp::create(b, f32Vector(), scalar);
        for (int64_t i = 0; i < parts * vectors; ++i) {
          Value &acc = accs[r * parts * vectors + i];
          acc = vector::FMAOp::create(b, x, row[i], acc);
        }
      }
    };
    auto loop = [&](Value from, Value to, int64_t unroll, bool ahead) {
      SmallVector<Value> inits(sums);
      if (ahead)
        inits.push_back(args.getArgument(n + 4));
      Value by = arith::ConstantIndexOp::create(b, unroll);
      auto op = scf::ForOp::create(b, from, to, by, inits);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(op.getBody());
      SmallVector<Value> accs(op.getRegionIterArgs());
      Value line;
      if (ahead) {
        line = accs.pop_back_val();
        Value nextPanel = args.getArgument(n + 3);
        // Lines of kUnroll rows of the panel, spread over its row tiles: at
        // least two tiles, so half of them here.
        int64_t bytes =
            kUnroll * bType.getDimSize(3) * bType.getElementTypeBitWidth() / 8;
        int64_t lines = std::max<int64_t>(1, bytes / kLine / 2);
        int64_t perLine = kLine * 8 / bType.getElementTypeBitWidth();
        int64_t rowLength = bType.getDimSize(3);
        for (int64_t i = 0; i < lines; ++i) {
          int64_t element = i * perLine;
          Value k = arith::AddIOp::create(
              b, line, arith::ConstantIndexOp::create(b, element / rowLength));
          Value column = arith::ConstantIndexOp::create(b, element % rowLength);
          memref::PrefetchOp::create(b, matrix,
                                     ValueRange{group, nextPanel, k, column},
                                     /*isWrite=*/false, /*locality=*/2,
                                     /*isDataCache=*/true);
        }
        Value ahead = arith::ConstantIndexOp::create(b, kUnroll / 2);
        line = arith::AddIOp::create(b, line, ahead);
      }
      for (int64_t u = 0; u < unroll; ++u) {
        Value offset = arith::ConstantIndexOp::create(b, u);
        Value k = arith::AddIOp::create(b, op.getInductionVar(), offset);
        step(b, k, accs);
      }
      if (ahead)
        accs.push_back(line);
      scf::YieldOp::create(b, accs);
      sums.assign(op.getResults().begin(),
                  op.getResults().begin() + sums.size());
    };
    if (whole > 0)
      loop(first, wholeEnd, kUnroll, prefetch);
    if (whole < depth)
      loop(wholeEnd, arith::ConstantIndexOp::create(b, depth), 1, false);
    if (columns % width == 0) {
      finish(b, args, rows, sums, rowIndices, group, panel, false);
    } else {
      Value last = arith::ConstantIndexOp::create(b, columns / width);
      Value isWhole =
          arith::CmpIOp::create(b, arith::CmpIPredicate::ult, panel, last);
      auto branch = scf::IfOp::create(b, isWhole, /*withElseRegion=*/true);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(branch.thenBlock());
      finish(b, args, rows, sums, rowIndices, group, panel, false);
      b.setInsertionPointToStart(branch.elseBlock());
      finish(b, args, rows, sums, rowIndices, group, panel, true);
    }
    func::ReturnOp::create(b);
    return func;
  }

  //===--------------------------------------------------------------------===//
  // Driver
  //===--------------------------------------------------------------------===//

  Value loadIndex(ImplicitLocOpBuilder &b, Value memref, ValueRange at) {
    return arith::IndexCastOp::create(b, b.getIndexType(),
                                      memref::LoadOp::create(b, memref, at));
  }

  /// Calls the kernel for `rows` rows from `row` on: tile number
  /// `tile` of the panel's `numTiles`.
  void buildCall(ImplicitLocOpBuilder &b, StringRef prefix, Value group,
                 Value panel, Value row, Value rows, Value tile, Value numTiles,
                 Value nextPanel) {
    Value one = arith::ConstantIndexOp::create(b, 1);
    Value several =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ugt, numTiles, one);
    auto emit = [&](bool prefetch, int64_t fewest) {
      SmallVector<int64_t> cases;
      for (int64_t r = fewest; r <= maxRows; ++r)
        cases.push_back(r);
      auto choice = scf::IndexSwitchOp::create(
          b, TypeRange{}, rows, b.getDenseI64ArrayAttr(cases), cases.size());
      Value start;
      if (prefetch) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(choice);
        // Tile t starts at row depth * t / n of the next panel.
        Value k = arith::ConstantIndexOp::create(b, depth);
        Value share = arith::MulIOp::create(b, k, tile);
        start = arith::DivUIOp::create(b, share, numTiles);
      }
      OpBuilder::InsertionGuard guard(b);
      for (auto [i, r] : llvm::enumerate(cases)) {
        b.createBlock(&choice.getCaseRegions()[i]);
        func::FuncOp kernel = getKernel(prefix, r, prefetch);
        SmallVector<Value> operands = getKernelOperands();
        operands.append({group, panel, row});
        if (prefetch)
          operands.append({nextPanel, start});
        func::CallOp::create(b, kernel, operands);
        scf::YieldOp::create(b);
      }
      b.createBlock(&choice.getDefaultRegion());
      scf::YieldOp::create(b);
    };
    // Tiles of one group differ by at most one row, so when there are several,
    // none has fewer than half of the most.
    auto branch = scf::IfOp::create(b, several, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    emit(/*prefetch=*/depth >= kUnroll, std::max<int64_t>(1, maxRows / 2));
    b.setInsertionPointToStart(branch.elseBlock());
    emit(/*prefetch=*/false, 1);
  }

  /// for panel in [begin, end), for tile in [0, numTiles): call.
  void buildPanels(ImplicitLocOpBuilder &b, StringRef prefix, Value begin,
                   Value end, Value group, Value numTiles,
                   function_ref<std::pair<Value, Value>(Value)> getTile) {
    Value zero = arith::ConstantIndexOp::create(b, 0);
    Value one = arith::ConstantIndexOp::create(b, 1);
    auto panels = scf::ForOp::create(b, begin, end, one);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(panels.getBody());
    Value panel = panels.getInductionVar();
    Value next = arith::AddIOp::create(b, panel, one);
    Value isLast =
        arith::CmpIOp::create(b, arith::CmpIPredicate::uge, next, end);
    Value nextPanel = arith::SelectOp::create(b, isLast, panel, next);
    auto tiles = scf::ForOp::create(b, zero, numTiles, one);
    b.setInsertionPointToStart(tiles.getBody());
    Value tile = tiles.getInductionVar();
    auto [row, rows] = getTile(tile);
    buildCall(b, prefix, group, panel, row, rows, tile, numTiles, nextPanel);
  }

  void buildDriver(ImplicitLocOpBuilder &b, StringRef prefix) {
    Value size = arith::ConstantIndexOp::create(b, bType.getDimSize(1));
    auto parallel = ParallelOp::create(b, size);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&parallel.getBody().front());
    Value zero = arith::ConstantIndexOp::create(b, 0);
    Value one = arith::ConstantIndexOp::create(b, 1);
    if (op.getTiles().empty()) {
      // One group: rows M t / n to M (t + 1) / n.
      Value m = memref::DimOp::create(
          b, op.getGather() ? op.getGather() : op.getA(), zero);
      Value most = arith::ConstantIndexOp::create(b, maxRows);
      Value numTiles = arith::CeilDivUIOp::create(b, m, most);
      buildPanels(b, prefix, parallel.getBegin(), parallel.getEnd(), zero,
                  numTiles, [&](Value tile) {
                    Value x = arith::MulIOp::create(b, m, tile);
                    Value from = arith::DivUIOp::create(b, x, numTiles);
                    Value next = arith::AddIOp::create(b, tile, one);
                    Value y = arith::MulIOp::create(b, m, next);
                    Value to = arith::DivUIOp::create(b, y, numTiles);
                    Value rows = arith::SubIOp::create(b, to, from);
                    return std::pair(from, rows);
                  });
      return;
    }
    // All tiles of one group at a time: tiles[i, 3] tells how many.
    Value list = op.getTiles()[0];
    Value count = loadIndex(b, op.getTiles()[1], zero);
    auto loop =
        scf::WhileOp::create(b, TypeRange{b.getIndexType()}, ValueRange{zero});
    b.createBlock(&loop.getBefore(), {}, b.getIndexType(), {b.getLoc()});
    Value i = loop.getBefore().getArgument(0);
    Value more = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, i, count);
    scf::ConditionOp::create(b, more, ValueRange{i});
    b.createBlock(&loop.getAfter(), {}, b.getIndexType(), {b.getLoc()});
    i = loop.getAfter().getArgument(0);
    Value two = arith::ConstantIndexOp::create(b, 2);
    Value three = arith::ConstantIndexOp::create(b, 3);
    Value group = loadIndex(b, list, ValueRange{i, zero});
    Value numTiles = loadIndex(b, list, ValueRange{i, three});
    buildPanels(b, prefix, parallel.getBegin(), parallel.getEnd(), group,
                numTiles, [&](Value tile) {
                  Value at = arith::AddIOp::create(b, i, tile);
                  Value row = loadIndex(b, list, ValueRange{at, one});
                  Value rows = loadIndex(b, list, ValueRange{at, two});
                  return std::pair(row, rows);
                });
    Value next = arith::AddIOp::create(b, i, numTiles);
    scf::YieldOp::create(b, next);
  }

  PackedMatmulOp op;
  Kernels &kernels;
  PanelsAttr panels;
  int64_t lanes, vectors, parts, columns, width;
  MemRefType bType;
  int64_t depth, maxRows;
};

struct LowerPackedMatmulPass
    : moe::impl::LowerPackedMatmulBase<LowerPackedMatmulPass> {
  void runOnOperation() override {
    Kernels kernels(getOperation());
    SmallVector<PackedMatmulOp> worklist;
    getOperation().walk([&](PackedMatmulOp op) { worklist.push_back(op); });
    for (PackedMatmulOp op : worklist) {
      if (!isa<MemRefType>(op.getA().getType()) ||
          !cast<MemRefType>(op.getB().getType()).hasStaticShape()) {
        op.emitOpError("must be on memrefs with static weights: run "
                       "one-shot-bufferize first");
        return signalPassFailure();
      }
      Emitter(op, kernels).run();
    }
  }
};
} // namespace
