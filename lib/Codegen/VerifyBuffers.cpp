//===- VerifyBuffers.cpp - No hidden allocation or copy -------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "moe/Codegen/Passes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::moe {
#define GEN_PASS_DEF_VERIFYBUFFERS
#include "moe/Codegen/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
/// What a buffer may be, as seen over all callers.
struct Origin {
  /// "parameter @w" or "state 'k_cache'", as the first caller knows it.
  std::string parameter, state;
  /// The buffer is a whole state, not a part of one.
  bool wholeState = false;

  bool merge(const Origin &other) {
    bool changed = false;
    if (parameter.empty() && !other.parameter.empty()) {
      parameter = other.parameter;
      changed = true;
    }
    if (state.empty() && !other.state.empty()) {
      state = other.state;
      changed = true;
    }
    if (!wholeState && other.wholeState)
      changed = wholeState = true;
    return changed;
  }
};

class BufferVerifier {
public:
  BufferVerifier(ModuleOp module, bool allocs, int64_t stackBytes)
      : module(module), symbols(module), allocs(allocs),
        stackBytes(stackBytes) {}
  LogicalResult run();

private:
  void propagateOrigins();
  Origin originOf(Value buffer);
  void error(Operation *op, const Twine &text) {
    op->emitOpError(text);
    bad = true;
  }
  void checkCopy(Operation *op, Value source, Value target);
  void checkStack(Operation *op, std::optional<int64_t> bytes);
  void checkFunction(func::FuncOp function);
  void checkLoop(LoopLikeOpInterface loop);
  void check(Operation *op);

  ModuleOp module;
  SymbolTable symbols;
  bool allocs;
  int64_t stackBytes;
  bool bad = false;
  DenseMap<Value, Origin> arguments; // of functions
};
} // namespace

/// Functions that allocate, free, or copy by a library, by their C names and
/// those that MLIR's lowerings use.
static bool isLibraryMemory(StringRef name) {
  static const llvm::StringSet<> names = {"malloc",
                                          "calloc",
                                          "realloc",
                                          "free",
                                          "aligned_alloc",
                                          "posix_memalign",
                                          "memrefCopy",
                                          "_mlir_memref_to_llvm_alloc",
                                          "_mlir_memref_to_llvm_aligned_alloc",
                                          "_mlir_memref_to_llvm_free"};
  return names.contains(name);
}

/// Follows views, selects and branches back to function arguments, parameters
/// and allocs. A loop's buffers are an error of their own: see checkLoop.
Origin BufferVerifier::originOf(Value buffer) {
  Origin origin;
  llvm::SetVector<std::pair<Value, unsigned>> work; // buffer, 1: whole
  work.insert({buffer, 1u});
  for (size_t i = 0; i < work.size(); ++i) {
    auto [value, whole] = work[i];
    if (auto it = arguments.find(value); it != arguments.end()) {
      Origin argument = it->second;
      argument.wholeState &= whole != 0;
      origin.merge(argument);
      continue;
    }
    Operation *op = value.getDefiningOp();
    if (!op)
      continue;
    if (auto ref = dyn_cast<ParameterRefOp>(op)) {
      origin.merge({"parameter @" + ref.getParameter().str(), "", false});
    } else if (auto view = dyn_cast<ViewLikeOpInterface>(op)) {
      bool part = isa<memref::SubViewOp, memref::ReinterpretCastOp>(op);
      work.insert({view.getViewSource(), part ? 0 : whole});
    } else if (auto select = dyn_cast<arith::SelectOp>(op)) {
      work.insert({select.getTrueValue(), whole});
      work.insert({select.getFalseValue(), whole});
    } else if (isa<RegionBranchOpInterface>(op) &&
               !isa<LoopLikeOpInterface>(op)) {
      unsigned number = cast<OpResult>(value).getResultNumber();
      for (Region &region : op->getRegions())
        for (Block &block : region)
          if (auto yield = dyn_cast<RegionBranchTerminatorOpInterface>(
                  block.getTerminator());
              yield && number < yield->getNumOperands())
            work.insert({yield->getOperand(number), whole});
    }
  }
  return origin;
}

/// Arguments of private functions are what their callers pass.
void BufferVerifier::propagateOrigins() {
  llvm::SetVector<func::FuncOp> work;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    work.insert(function);
    for (BlockArgument argument : function.getArguments()) {
      unsigned number = argument.getArgNumber();
      if (!isa<BaseMemRefType>(argument.getType()))
        continue;
      Origin origin;
      if (function.getArgAttr(number, MoEDialect::kStateAttr)) {
        auto name = function.getArgAttrOfType<StringAttr>(
            number, MoEDialect::kNameAttr);
        origin.state = name ? "state '" + name.str() + "'"
                            : "state argument " + std::to_string(number);
        origin.wholeState = true;
      }
      arguments[argument] = origin;
    }
  }
  while (!work.empty()) {
    func::FuncOp function = work.pop_back_val();
    function.walk([&](func::CallOp call) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (!callee || callee.isExternal())
        return;
      bool changed = false;
      for (auto [operand, argument] :
           llvm::zip(call.getOperands(), callee.getArguments()))
        if (isa<BaseMemRefType>(operand.getType()))
          changed |= arguments[argument].merge(originOf(operand));
      if (changed)
        work.insert(callee);
    });
  }
}

void BufferVerifier::checkCopy(Operation *op, Value source, Value target) {
  Origin from = originOf(source), to = originOf(target);
  if (!from.parameter.empty())
    error(op, "copies out of " + from.parameter);
  if (!from.state.empty())
    error(op, "copies out of " + from.state);
  if (!to.parameter.empty())
    error(op, "overwrites " + to.parameter);
  if (to.wholeState)
    error(op, "overwrites all of " + to.state);
}

/// `bytes` is empty for a size that is not known here.
void BufferVerifier::checkStack(Operation *op, std::optional<int64_t> bytes) {
  if (!bytes)
    return error(op, "puts a buffer of unknown size on the stack");
  if (*bytes > stackBytes)
    return error(op, "puts " + Twine(*bytes) +
                         " bytes on the stack, more than " + Twine(stackBytes));
  // The body of a parallel loop becomes a function; other loops do not give
  // their stack back before the function returns.
  for (Operation *parent = op->getParentOp();
       parent &&
       !isa<FunctionOpInterface, ParallelOp, memref::AllocaScopeOp>(parent);
       parent = parent->getParentOp())
    if (isa<LoopLikeOpInterface>(parent))
      return error(op, "takes more of the stack in every iteration of a loop");
}

void BufferVerifier::checkFunction(func::FuncOp function) {
  for (Type type : function.getResultTypes())
    if (isa<BaseMemRefType>(type))
      return error(function,
                   "returns a buffer; write to a destination instead");
  if (function.isExternal() && isLibraryMemory(function.getName()))
    error(function, "declares '" + function.getName() + "'");
}

/// A loop-carried buffer hides where it comes from.
void BufferVerifier::checkLoop(LoopLikeOpInterface loop) {
  for (Region &region : loop->getRegions())
    for (Block &block : region)
      if (llvm::any_of(block.getArgumentTypes(), llvm::IsaPred<BaseMemRefType>))
        return error(loop, "carries a buffer from iteration to iteration");
}

static std::optional<int64_t> bytesOf(MemRefType type) {
  if (!type.hasStaticShape() || !type.getElementType().isIntOrIndexOrFloat())
    return std::nullopt;
  int64_t bytes =
      type.getElementType().isIndex()
          ? 8
          : int64_t(llvm::divideCeil(type.getElementTypeBitWidth(), 8));
  for (int64_t size : type.getShape())
    if (llvm::MulOverflow(bytes, size, bytes))
      return std::nullopt;
  return bytes;
}

static std::optional<int64_t> bytesOf(LLVM::AllocaOp op) {
  APInt count;
  int64_t bytes;
  if (!matchPattern(op.getArraySize(), m_ConstantInt(&count)))
    return std::nullopt;
  llvm::TypeSize element =
      DataLayout::closest(op).getTypeSize(op.getElemType());
  if (element.isScalable() ||
      llvm::MulOverflow(int64_t(element.getFixedValue()), count.getSExtValue(),
                        bytes))
    return std::nullopt;
  return bytes;
}

/// Whether `block` can run twice in one call of its function.
static bool isInCycle(Block *block) {
  llvm::SetVector<Block *> reached;
  reached.insert_range(block->getSuccessors());
  for (size_t i = 0; i < reached.size(); ++i) {
    if (reached[i] == block)
      return true;
    reached.insert_range(reached[i]->getSuccessors());
  }
  return false;
}

void BufferVerifier::check(Operation *op) {
  if (isa_and_nonnull<bufferization::BufferizationDialect>(op->getDialect()) ||
      llvm::any_of(op->getResultTypes(), llvm::IsaPred<TensorType>))
    return error(op, "is left over from bufferisation");
  if (auto loop = dyn_cast<LoopLikeOpInterface>(op))
    return checkLoop(loop);
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    checkCopy(op, copy.getSource(), copy.getTarget());
    if (!allocs)
      error(op, "may become a call of a library; run moe-lower-copies");
  } else if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    if (linalg::isaCopyOpInterface(linalgOp))
      checkCopy(op, linalgOp.getDpsInputOperand(0)->get(),
                linalgOp.getDpsInitOperand(0)->get());
  } else if (isa<memref::AllocOp, memref::ReallocOp, memref::DeallocOp>(op)) {
    if (!allocs)
      error(op, "manages memory outside the arena");
  } else if (auto alloca = dyn_cast<memref::AllocaOp>(op)) {
    checkStack(op, bytesOf(alloca.getType()));
  } else if (auto alloca = dyn_cast<LLVM::AllocaOp>(op)) {
    checkStack(op, bytesOf(alloca));
    // Between llvm.stacksave and llvm.stackrestore, a loop may.
    if (isInCycle(op->getBlock()) &&
        op->getParentRegion()->getOps<LLVM::StackSaveOp>().empty())
      error(op, "takes more of the stack in every iteration of a loop");
  } else if (auto function = dyn_cast<func::FuncOp>(op)) {
    checkFunction(function);
  } else if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op)) {
    if (function.isExternal() && isLibraryMemory(function.getName()))
      error(op, "declares '" + function.getName() + "'");
  }
}

LogicalResult BufferVerifier::run() {
  propagateOrigins();
  module.walk([&](Operation *op) { check(op); });
  return failure(bad);
}

namespace {
struct VerifyBuffers : public moe::impl::VerifyBuffersBase<VerifyBuffers> {
  using VerifyBuffersBase::VerifyBuffersBase;
  void runOnOperation() override {
    if (failed(BufferVerifier(getOperation(), allocs, stackBytes).run()))
      signalPassFailure();
  }
};
} // namespace
