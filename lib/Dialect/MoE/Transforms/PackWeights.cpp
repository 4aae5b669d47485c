//===- PackWeights.cpp - Products on packed parameters --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Dialect/MoE/Transforms/Passes.h"
#include "moe/Dialect/NN/IR/NN.h"
#include "llvm/ADT/TypeSwitch.h"
#include <map>

namespace mlir::moe {
#define GEN_PASS_DEF_MOEPACKWEIGHTS
#include "moe/Dialect/MoE/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// Most f32 lanes of a vector; a panel is at most twice as wide.
static constexpr int64_t kMaxLanes = 64;

namespace {
/// One product to be packed.
struct Product {
  Operation *op;
  SmallVector<Value> matrices; // [N, K] or [E, N, K], alike in type
};

class Packer {
public:
  Packer(ModuleOp module, int64_t lanes, int64_t tileRows)
      : module(module), symbols(module), lanes(lanes), tileRows(tileRows) {}

  void run() {
    SmallVector<Product> products;
    module.walk<WalkOrder::PreOrder>([&](Operation *op) {
      // The parameters of a nested module are not ours.
      if (op != module && isa<ModuleOp>(op))
        return WalkResult::skip();
      auto kernel = dyn_cast<DestinationOpInterface>(op);
      if (!kernel || op->getNumResults() == 0) // on memrefs
        return WalkResult::advance();
      TypeSwitch<Operation *>(op)
          .Case([&](nn::LinearOp linear) {
            products.push_back({op, {linear.getWeight()}});
          })
          .Case([&](RouterLogitsOp router) {
            products.push_back({op, {router.getRouter()}});
          })
          .Case([&](GroupedMatmulOp matmul) {
            products.push_back({op, llvm::to_vector(matmul.getBs())});
          });
      return WalkResult::advance();
    });
    for (Product &product : products) {
      auto opts =
          remark::RemarkOpts::name("PackWeights").category("moe-pack-weights");
      Location loc = product.op->getLoc();
      std::string why;
      Value packed = findPacked(product, why);
      if (!packed) {
        remark::missed(loc, opts) << remark::reason("{0}", why);
        continue;
      }
      remark::passed(loc, opts)
          << remark::metric("Matrices", int64_t(product.matrices.size()));
      rewrite(product, packed);
    }
    removeUnused();
  }

private:
  PanelsAttr getPanels(const Product &product) {
    auto type = cast<RankedTensorType>(product.matrices[0].getType());
    int64_t columns = type.getDimSize(type.getRank() - 2);
    int64_t parts = product.matrices.size();
    int64_t vectors = parts == 1 && columns > lanes ? 2 : 1;
    return PanelsAttr::get(module.getContext(), columns, parts, lanes, vectors);
  }

  /// The packed parameter for `symbols`; one for each distinct tuple.
  FlatSymbolRefAttr getParameter(SmallVector<ParameterOp> originals,
                                 PanelsAttr panels) {
    SmallVector<Attribute> key{panels};
    for (ParameterOp original : originals)
      key.push_back(original.getSymNameAttr());
    FlatSymbolRefAttr &reference =
        parameters[ArrayAttr::get(module.getContext(), key)];
    if (reference)
      return reference;
    RankedTensorType type = originals[0].getTensorType();
    bool isStack = type.getRank() == 3;
    SmallVector<Attribute> sources;
    for (auto [part, original] : llvm::enumerate(originals))
      for (auto source : original.getSources().getAsRange<SourceAttr>())
        sources.push_back(
            SourceAttr::get(module.getContext(), source.getTensor(),
                            source.getType(), isStack ? source.getFirst() : 0,
                            isStack ? source.getCount() : 1, part));
    auto packedType = RankedTensorType::get(
        {isStack ? type.getDimSize(0) : 1, panels.getNumPanels(),
         type.getDimSize(type.getRank() - 1),
         panels.getWidth() * panels.getParts()},
        type.getElementType());
    OpBuilder b(originals[0]);
    b.setInsertionPointAfter(originals.back());
    auto packed = ParameterOp::create(
        b, originals[0].getLoc(),
        b.getStringAttr(originals[0].getSymName() + ".packed"),
        TypeAttr::get(packedType), b.getArrayAttr(sources), panels,
        /*pack=*/FlatSymbolRefAttr());
    symbols.insert(packed); // makes the name unique
    return reference = FlatSymbolRefAttr::get(packed);
  }

  /// The parameters behind `values`, all defined in one function.
  FailureOr<SmallVector<ParameterOp>> resolve(ValueRange values,
                                              std::string &why) {
    SmallVector<ParameterOp> result;
    for (Value value : values) {
      auto reference = value.getDefiningOp<ParameterRefOp>();
      if (!reference)
        return why = "a matrix is not a parameter", failure();
      result.push_back(symbols.lookup<ParameterOp>(reference.getParameter()));
      RankedTensorType type = result.back().getTensorType();
      // An unstacked weight made of several sources has no single [N, K].
      if (type.getRank() == 2 && result.back().getSources().size() != 1)
        return why = "a matrix is put together from several tensors", failure();
      if (result.back().getPanels())
        return why = "a matrix is packed already", failure();
    }
    return result;
  }

  Value makeReference(OpBuilder &b, Location loc, FlatSymbolRefAttr symbol) {
    auto parameter = symbols.lookup<ParameterOp>(symbol.getValue());
    return ParameterRefOp::create(b, loc, parameter.getTensorType(), symbol);
  }

  /// The packed weights of a product as a value beside it, or null.
  Value findPacked(const Product &product, std::string &why) {
    auto isNarrow = [](Type type) {
      auto shaped = dyn_cast<ShapedType>(type);
      return shaped && isa<FloatType>(shaped.getElementType()) &&
             !shaped.getElementType().isF32();
    };
    if (isNarrow(product.op->getOperand(0).getType()) ||
        isNarrow(product.op->getResult(0).getType()))
      return why = "the rows are narrow", Value();
    for (Value matrix : product.matrices)
      if (!cast<RankedTensorType>(matrix.getType()).hasStaticShape() ||
          matrix.getType() != product.matrices[0].getType())
        return why = "matrices differ in type or have dynamic sizes", Value();
    if (int64_t(product.matrices.size()) > kMaxPanelVectors)
      return why = "there are more matrices than a panel holds", Value();
    if (cast<RankedTensorType>(product.matrices[0].getType())
            .getNumElements() == 0)
      return why = "the matrices have no elements", Value();
    PanelsAttr panels = getPanels(product);
    auto func = product.op->getParentOfType<func::FuncOp>();
    if (!isa<BlockArgument>(product.matrices[0])) {
      FailureOr<SmallVector<ParameterOp>> originals =
          resolve(product.matrices, why);
      if (failed(originals))
        return Value();
      OpBuilder b(product.op);
      return makeReference(b, product.op->getLoc(),
                           getParameter(*originals, panels));
    }
    // Arguments of a private function: every caller gives parameters.
    SmallVector<unsigned> numbers;
    for (Value matrix : product.matrices) {
      auto argument = dyn_cast<BlockArgument>(matrix);
      if (!argument || argument.getOwner() != &func.getBody().front())
        return why = "matrices come from different places", Value();
      numbers.push_back(argument.getArgNumber());
    }
    if (func.isPublic())
      return why = "a matrix is an argument of a public function", Value();
    auto known = arguments.find({func, numbers, panels});
    if (known != arguments.end())
      return func.getArgument(known->second);
    std::optional<SymbolTable::UseRange> uses = func.getSymbolUses(module);
    SmallVector<func::CallOp> calls;
    SmallVector<SmallVector<ParameterOp>> originals;
    for (SymbolTable::SymbolUse use : *uses) {
      auto call = dyn_cast<func::CallOp>(use.getUser());
      if (!call)
        return why = "its function is not only called", Value();
      SmallVector<Value> operands;
      for (unsigned number : numbers)
        operands.push_back(call.getOperand(number));
      FailureOr<SmallVector<ParameterOp>> resolved = resolve(operands, why);
      if (failed(resolved))
        return Value();
      calls.push_back(call);
      originals.push_back(std::move(*resolved));
    }
    if (calls.empty())
      return why = "its function is never called", Value();
    Type packedType;
    for (auto [call, parameters] : llvm::zip(calls, originals)) {
      OpBuilder b(call);
      Value reference =
          makeReference(b, call.getLoc(), getParameter(parameters, panels));
      packedType = reference.getType();
      call->insertOperands(call->getNumOperands(), reference);
    }
    unsigned last = func.getNumArguments();
    (void)func.insertArgument(last, packedType, {}, func.getLoc());
    arguments[{func, numbers, panels}] = last;
    return func.getArgument(last);
  }

  /// [N] as [1, N]: packed products have a bias per group.
  static Value makeBiasStack(OpBuilder &b, Location loc, Value bias) {
    auto type = cast<RankedTensorType>(bias.getType());
    return tensor::ExpandShapeOp::create(
        b, loc, type.clone({1, type.getDimSize(0)}), bias,
        ArrayRef<ReassociationIndices>{{0, 1}});
  }

  void rewrite(const Product &product, Value packed) {
    IRRewriter b(product.op);
    Location loc = product.op->getLoc();
    PanelsAttr panels = getPanels(product);
    // Accumulators of one kernel: rows x vectors x parts, as many as fit.
    int64_t perRow = panels.getVectors() * panels.getParts();
    int64_t rows =
        std::max<int64_t>(1, 2 * tileRows / std::max<int64_t>(2, perRow));
    Value a;
    SmallVector<Value> tiles, biases, scatter, outs;
    Value gather;
    bool accumulate = false;
    Region *epilogue = nullptr;
    TypeSwitch<Operation *>(product.op)
        .Case([&](nn::LinearOp op) {
          a = op.getX();
          if (op.getBias())
            biases.push_back(makeBiasStack(b, loc, op.getBias()));
          outs = llvm::to_vector(op.getOuts());
          accumulate = op.getAccumulate();
        })
        .Case([&](RouterLogitsOp op) {
          a = op.getX();
          if (op.getBias())
            biases.push_back(makeBiasStack(b, loc, op.getBias()));
          outs = llvm::to_vector(op.getOuts());
        })
        .Case([&](GroupedMatmulOp op) {
          a = op.getA();
          biases = llvm::to_vector(op.getBiases());
          gather = op.getGather();
          scatter = llvm::to_vector(op.getScatter());
          outs = llvm::to_vector(op.getOuts());
          epilogue = &op.getEpilogue();
          OpFoldResult maxRows = buildSize(b, loc, gather ? gather : a, 0);
          Value bound = getValueOrCreateConstantIndexOp(b, loc, maxRows);
          Type i32 = b.getI32Type();
          auto list = RowTilesOp::create(
              b, loc,
              TypeRange{RankedTensorType::get({ShapedType::kDynamic, 4}, i32),
                        RankedTensorType::get({1}, i32)},
              op.getOffsets(), rows, bound, ValueRange());
          tiles.assign(list->result_begin(), list->result_end());
        });
    auto matmul = PackedMatmulOp::create(b, loc, product.op->getResultTypes(),
                                         a, packed, panels, rows, accumulate,
                                         tiles, biases, gather, scatter, outs);
    if (epilogue) {
      matmul.getEpilogue().takeBody(*epilogue);
    } else {
      OpBuilder::InsertionGuard guard(b);
      Block *block =
          b.createBlock(&matmul.getEpilogue(), {}, b.getF32Type(), loc);
      YieldOp::create(b, loc, block->getArgument(0));
    }
    b.replaceOp(product.op, matmul->getResults());
  }

  /// Drops arguments, references and parameters that nothing uses any more.
  void removeUnused() {
    for (auto func : module.getOps<func::FuncOp>()) {
      if (func.isPublic() || func.isExternal())
        continue;
      BitVector unused(func.getNumArguments());
      for (BlockArgument argument : func.getArguments())
        if (argument.use_empty() && isa<RankedTensorType>(argument.getType()) &&
            isReplaced(func, argument.getArgNumber()))
          unused.set(argument.getArgNumber());
      if (unused.none())
        continue;
      std::optional<SymbolTable::UseRange> uses = func.getSymbolUses(module);
      for (SymbolTable::SymbolUse use : *uses)
        cast<func::CallOp>(use.getUser())->eraseOperands(unused);
      (void)func.eraseArguments(unused);
    }
    module.walk([](ParameterRefOp op) {
      if (op->use_empty())
        op.erase();
    });
    for (auto parameter :
         llvm::make_early_inc_range(module.getOps<ParameterOp>()))
      if (parameter.symbolKnownUseEmpty(module))
        parameter.erase();
  }

  bool isReplaced(func::FuncOp func, unsigned number) {
    return llvm::any_of(arguments, [&](auto &entry) {
      const auto &[known, numbers, panels] = entry.first;
      return known == func && llvm::is_contained(numbers, number);
    });
  }

  ModuleOp module;
  SymbolTable symbols;
  int64_t lanes, tileRows;
  /// By panels and names of the originals; looked up only.
  llvm::DenseMap<Attribute, FlatSymbolRefAttr> parameters;
  using Key = std::tuple<Operation *, SmallVector<unsigned>, Attribute>;
  struct Less {
    bool operator()(const Key &x, const Key &y) const {
      auto rest = [](const Key &k) {
        return std::pair(std::get<0>(k), std::get<2>(k).getAsOpaquePointer());
      };
      return std::get<1>(x) != std::get<1>(y) ? std::get<1>(x) < std::get<1>(y)
                                              : rest(x) < rest(y);
    }
  };
  std::map<Key, unsigned, Less> arguments; // looked up only, never iterated out
};

struct PackWeightsPass : moe::impl::MoEPackWeightsBase<PackWeightsPass> {
  using MoEPackWeightsBase::MoEPackWeightsBase;
  void runOnOperation() override {
    if (lanes < 1 || lanes > kMaxLanes || tileRows < 1 ||
        tileRows > kMaxTileRows) {
      getOperation().emitError("lanes must be in [1, ")
          << kMaxLanes << "] and tile-rows in [1, " << kMaxTileRows << "], got "
          << lanes.getValue() << " and " << tileRows.getValue();
      return signalPassFailure();
    }
    Packer(getOperation(), lanes, tileRows).run();
  }
};
} // namespace
