//===- Report.cpp - What is in an imported module -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Config.h"
#include "HuggingFace/HuggingFace.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Import/Import.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::moe;

static void forEachSource(
    ModuleOp module,
    function_ref<void(ParameterOp parameter, SourceAttr source)> callback) {
  for (auto parameter : module.getOps<ParameterOp>())
    for (auto source : parameter.getSources().getAsRange<SourceAttr>())
      callback(parameter, source);
}

/// "1 234 567".
static std::string groupDigits(uint64_t number) {
  std::string digits = std::to_string(number);
  for (int64_t i = int64_t(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(i, " ");
  return digits;
}

static std::string printBytes(uint64_t bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double size = bytes;
  unsigned unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(units); ++unit)
    size /= 1024;
  std::string text;
  llvm::raw_string_ostream os(text);
  os << llvm::format(unit ? "%.1f " : "%.0f ", size) << units[unit];
  return text;
}

void moe::printImportSummary(ModuleOp module, raw_ostream &os) {
  uint64_t numTensors = 0, numElements = 0, numBytes = 0;
  SmallVector<std::string> types;
  forEachSource(module, [&](ParameterOp, SourceAttr source) {
    RankedTensorType type = source.getType();
    ++numTensors;
    numElements += type.getNumElements();
    numBytes += type.getNumElements() * (type.getElementTypeBitWidth() / 8);
    std::string name;
    llvm::raw_string_ostream(name) << type.getElementType();
    if (!llvm::is_contained(types, name))
      types.push_back(name);
  });
  auto model = module->getAttrOfType<StringAttr>(MoEDialect::kModelAttr);
  os << "model       " << (model ? model.getValue() : "unknown") << "\n"
     << "functions   ";
  llvm::interleaveComma(
      llvm::make_filter_range(module.getOps<func::FuncOp>(),
                              [](func::FuncOp f) { return f.isPublic(); }),
      os, [&](func::FuncOp f) { os << f.getName(); });
  os << "\nparameters  "
     << groupDigits(llvm::range_size(module.getOps<ParameterOp>())) << " with "
     << groupDigits(numElements) << " elements\n"
     << "tensors     " << groupDigits(numTensors) << ", "
     << printBytes(numBytes) << " of " << llvm::join(types, ", ") << "\n";
  int64_t maxExperts = 0, topK = 0;
  module.walk([&](LayerOp layer) {
    AssignmentType type = layer.getAssignment().getType();
    maxExperts = std::max(maxExperts, type.getExperts());
    topK = std::max(topK, type.getMaxPerToken());
  });
  os << "experts     " << maxExperts << ", at most " << topK
     << " for each token\n";
}

void moe::printImportTensors(ModuleOp module, raw_ostream &os, bool json) {
  if (!json) {
    forEachSource(module, [&](ParameterOp parameter, SourceAttr source) {
      os << quote(source.getTensor()) << "  " << source.getType() << "  @"
         << parameter.getSymName();
      if (parameter.getTensorType() != source.getType())
        os << "[" << source.getFirst() << "]";
      os << "\n";
    });
    return;
  }
  llvm::json::OStream stream(os, /*IndentSize=*/1);
  stream.array([&] {
    forEachSource(module, [&](ParameterOp parameter, SourceAttr source) {
      stream.object([&] {
        stream.attribute("tensor", source.getTensor());
        std::string type;
        llvm::raw_string_ostream(type) << source.getType().getElementType();
        stream.attribute("type", type);
        stream.attributeArray("shape", [&] {
          for (int64_t size : source.getType().getShape())
            stream.value(size);
        });
        stream.attribute("parameter", parameter.getSymName());
        stream.attribute("first", source.getFirst());
        stream.attribute("count", source.getCount());
      });
    });
  });
  os << "\n";
}

void moe::printImportModels(raw_ostream &os, bool json) {
  static constexpr StringRef kLayer = "moe_layer";
  static constexpr StringRef kLayerSummary =
      "one layer, see docs/LayerFormat.md";
  if (!json) {
    for (const hf::Family *family : hf::getFamilies())
      os << llvm::formatv("{0,-12}{1,-24}{2}\n", family->modelType,
                          family->architecture, family->summary);
    os << llvm::formatv("{0,-12}{1,-24}{2}\n", kLayer, "-", kLayerSummary);
    return;
  }
  llvm::json::OStream stream(os, /*IndentSize=*/1);
  stream.array([&] {
    auto print = [&](StringRef type, StringRef architecture,
                     StringRef summary) {
      stream.object([&] {
        stream.attribute("model_type", type);
        if (!architecture.empty())
          stream.attribute("architecture", architecture);
        stream.attribute("summary", summary);
      });
    };
    for (const hf::Family *family : hf::getFamilies())
      print(family->modelType, family->architecture, family->summary);
    print(kLayer, "", kLayerSummary);
  });
  os << "\n";
}
