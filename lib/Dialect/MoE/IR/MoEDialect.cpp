//===- MoEDialect.cpp - The MoE dialect -----------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

#include "moe/Dialect/MoE/IR/MoEDialect.cpp.inc"
#include "moe/Dialect/MoE/IR/MoEEnums.cpp.inc"
#include "moe/Dialect/MoE/IR/MoEInterfaces.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "moe/Dialect/MoE/IR/MoEAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "moe/Dialect/MoE/IR/MoETypes.cpp.inc"

void MoEDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "moe/Dialect/MoE/IR/MoETypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moe/Dialect/MoE/IR/MoEAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "moe/Dialect/MoE/IR/MoEOps.cpp.inc"
      >();
}

LogicalResult AssignmentType::verify(function_ref<InFlightDiagnostic()> error,
                                     int64_t experts, int64_t maxPerToken) {
  // Indices of experts and rows are i32.
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  // assignment_c1
  if (experts < 1 || experts >= kMax)
    return error() << "experts must be in [1, " << kMax << "), got " << experts;
  // assignment_c2
  if (maxPerToken < 1 || maxPerToken >= kMax)
    return error() << "max_per_token must be in [1, " << kMax << "), got "
                   << maxPerToken;
  return success();
}

LogicalResult SourceAttr::verify(function_ref<InFlightDiagnostic()> error,
                                 StringRef, RankedTensorType type, int64_t,
                                 int64_t, int64_t) {
  // source_c1
  if (!type.hasStaticShape())
    return error() << "a source must have a static shape, got " << type;
  return success();
}

LogicalResult PanelsAttr::verify(function_ref<InFlightDiagnostic()> error,
                                 int64_t columns, int64_t parts, int64_t lanes,
                                 int64_t vectors) {
  // panels_c1
  constexpr int64_t kMax = 1024;
  for (auto [name, value] :
       {std::pair("parts", parts), {"lanes", lanes}, {"vectors", vectors}})
    if (value < 1 || value > kMax)
      return error() << name << " must be in [1, " << kMax << "], got "
                     << value;
  // panels_c2
  if (columns < 1)
    return error() << "columns must be at least 1, got " << columns;
  // panels_c3: a kernel has an accumulator for each, in straight-line code.
  if (parts * vectors > kMaxPanelVectors)
    return error() << "parts * vectors must be at most " << kMaxPanelVectors
                   << ", got " << parts * vectors;
  return success();
}

//===----------------------------------------------------------------------===//
// Discardable attributes
//===----------------------------------------------------------------------===//

/// moe.shape: positive sizes and symbols; leading ones may be merged in the IR.
static LogicalResult verifyShapeAttr(Operation *op, Attribute value,
                                     Type type) {
  auto shape = dyn_cast<ArrayAttr>(value);
  if (!shape)
    return op->emitError("moe.shape must be an array");
  auto isNumber = [](Attribute size) {
    auto number = dyn_cast<IntegerAttr>(size);
    return number && number.getType().isSignlessIntOrIndex() &&
           number.getValue().isSignedIntN(64) && number.getInt() >= 0;
  };
  for (Attribute size : shape) {
    if (!isNumber(size) && !isa<StringAttr>(size))
      return op->emitError("moe.shape must hold sizes and symbols, got ")
             << size;
  }
  auto shaped = dyn_cast<ShapedType>(type);
  // The first size of the type is a product of leading ones, so rank 0 has
  // none.
  if (!shaped || !shaped.hasRank() ||
      shaped.getRank() > int64_t(shape.size()) ||
      (shaped.getRank() == 0 && !shape.empty()))
    return op->emitError("moe.shape ")
           << shape << " does not describe " << type;
  return success();
}

static LogicalResult verifyValueAttr(Operation *op, NamedAttribute attribute,
                                     Type type, bool isArgument) {
  StringRef name = attribute.getName();
  Attribute value = attribute.getValue();
  auto wrong = [&](StringRef wanted) {
    return op->emitError() << name << " must be " << wanted << ", got "
                           << value;
  };
  if (name == MoEDialect::kShapeAttr)
    return verifyShapeAttr(op, value, type);
  if (name == MoEDialect::kNameAttr)
    return isa<StringAttr>(value) ? success() : wrong("a string");
  if (name == MoEDialect::kLimitAttr && isArgument)
    return isa<IntegerAttr>(value) ? success() : wrong("an integer");
  if ((name == MoEDialect::kStateAttr || name == MoEDialect::kLengthsAttr) &&
      isArgument)
    return isa<UnitAttr>(value) ? success() : wrong("a unit attribute");
  if (name == MoEDialect::kOptionalAttr && !isArgument)
    return isa<UnitAttr>(value) ? success() : wrong("a unit attribute");
  if (name == MoEDialect::kCountAttr && !isArgument)
    return isa<StringAttr>(value) ? success() : wrong("a string");
  return op->emitError() << name << " is not an attribute of "
                         << (isArgument ? "an argument" : "a result");
}

LogicalResult MoEDialect::verifyOperationAttribute(Operation *op,
                                                   NamedAttribute attribute) {
  StringRef name = attribute.getName();
  if (name == kArenaLeavesAttr && isa<FunctionOpInterface>(op)) {
    auto leaves = dyn_cast<ArrayAttr>(attribute.getValue());
    if (leaves && llvm::all_of(leaves, [](Attribute leaf) {
          auto pair = dyn_cast<DenseI64ArrayAttr>(leaf);
          return pair && pair.size() == 2;
        }))
      return success();
    return op->emitError() << name << " must be an array of pairs "
                           << "array<i64: argument, dimension>";
  }
  if (name == kDynamicSharedAttr && isa<FunctionOpInterface>(op)) {
    auto bytes = dyn_cast<IntegerAttr>(attribute.getValue());
    if (bytes && bytes.getType().isInteger(32) && bytes.getInt() >= 0)
      return success();
    return op->emitError() << name << " must be a number of bytes as i32";
  }
  // CUDA C++ Programming Guide, "Technical Specifications".
  constexpr int64_t kMaxResidentBlocks = 32;
  if (name == kResidentBlocksAttr && isa<FunctionOpInterface>(op)) {
    auto blocks = dyn_cast<IntegerAttr>(attribute.getValue());
    if (blocks && blocks.getType().isInteger(32) && blocks.getInt() > 0 &&
        blocks.getInt() <= kMaxResidentBlocks)
      return success();
    return op->emitError() << name << " must be a number of blocks as i32, "
                           << "1 to " << kMaxResidentBlocks;
  }
  if ((name == kOverlapsAttr || name == kUnorderedAttr ||
       name == kAllowStackAttr) &&
      isa<FunctionOpInterface>(op)) {
    if (isa<UnitAttr>(attribute.getValue()))
      return success();
    return op->emitError() << name << " must be a unit attribute";
  }
  if (!isa<ModuleOp>(op))
    return op->emitError() << name << " is not an attribute of "
                           << op->getName();
  if (name == kModelAttr && isa<StringAttr>(attribute.getValue()))
    return success();
  if ((name == kMaxLengthAttr || name == kVocabSizeAttr) &&
      isa<IntegerAttr>(attribute.getValue()))
    return success();
  if (name == kParamsAttr && isa<ArrayAttr>(attribute.getValue()))
    return success();
  return op->emitError() << name << " has an unknown name or a wrong value";
}

LogicalResult MoEDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                   unsigned argument,
                                                   NamedAttribute attribute) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    return op->emitError() << attribute.getName()
                           << " is only for function arguments";
  return verifyValueAttr(op, attribute, function.getArgumentTypes()[argument],
                         /*isArgument=*/true);
}

LogicalResult MoEDialect::verifyRegionResultAttribute(
    Operation *op, unsigned, unsigned result, NamedAttribute attribute) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    return op->emitError() << attribute.getName()
                           << " is only for function results";
  return verifyValueAttr(op, attribute, function.getResultTypes()[result],
                         /*isArgument=*/false);
}
