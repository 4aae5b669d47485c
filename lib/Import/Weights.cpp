//===- Weights.cpp - Parameters and the tensors they come from ------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Weights.h"
#include "Config.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Import/Limits.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

/// "[24, 40]".
template <typename Range> static std::string printShape(const Range &shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "[";
  llvm::interleaveComma(shape, os);
  os << "]";
  return text;
}

static std::string prefixRule(StringRef rule) {
  return rule.empty() ? std::string() : rule.str() + ": ";
}

std::optional<Checkpoint>
Checkpoint::open(StringRef directory, TensorRules rules, std::string &error) {
  moe_checkpoint *opened = nullptr;
  moe_error reason = {};
  if (moe_checkpoint_open(directory.str().c_str(), MOE_ST_HEADERS_ONLY, &opened,
                          &reason)) {
    error = reason.text;
    return std::nullopt;
  }
  Checkpoint result;
  result.checkpoint.reset(opened);
  result.rules = rules;
  return result;
}

bool Checkpoint::has(StringRef tensor) const {
  return moe_checkpoint_find(checkpoint.get(), tensor.str().c_str(), nullptr);
}

StringRef Checkpoint::getPath() const {
  const moe_st_file *ends[2] = {};
  size_t count = getCount();
  for (unsigned i = 0; i < 2 && count; ++i)
    moe_checkpoint_find(
        checkpoint.get(),
        moe_checkpoint_at(checkpoint.get(), i ? count - 1 : 0)->name, &ends[i]);
  return ends[0] && ends[0] == ends[1] ? moe_st_path(ends[0])
                                       : moe_checkpoint_path(checkpoint.get());
}

static Type getElementType(MLIRContext *context, int32_t type) {
  switch (type) {
  case MOE_RT_F32:
    return Float32Type::get(context);
  case MOE_RT_F16:
    return Float16Type::get(context);
  case MOE_RT_BF16:
    return BFloat16Type::get(context);
  default:
    return {};
  }
}

LogicalResult Checkpoint::resolve(Parameter &parameter, MLIRContext *context,
                                  std::string &error) {
  ArrayRef<int64_t> wanted = parameter.getTensorShape();
  const moe_st_tensor *first = nullptr;
  for (const std::string &name : parameter.tensors) {
    const moe_st_file *file = nullptr;
    const moe_st_tensor *tensor =
        moe_checkpoint_find(checkpoint.get(), name.c_str(), &file);
    auto fail = [&](StringRef rule, const Twine &text) {
      StringRef path = file ? moe_st_path(file) : getPath();
      error = quotePath(path) + ": " + prefixRule(rule) + "tensor '" +
              quote(name) + "' " + text.str();
      return failure();
    };
    if (!tensor)
      return fail(rules.presence,
                  "is missing, expected shape " + printShape(wanted));
    ArrayRef<uint64_t> shape(tensor->shape, tensor->rank);
    if (shape.size() != wanted.size() ||
        !llvm::all_of(llvm::zip(shape, wanted), [](auto pair) {
          return std::get<0>(pair) == uint64_t(std::get<1>(pair));
        }))
      return fail(rules.shape, "has shape " + printShape(shape) +
                                   ", expected " + printShape(wanted));
    Type type = getElementType(context, tensor->type);
    if (!type)
      return fail({}, "has element type " + quote(tensor->dtype) +
                          ", expected F32, F16 or BF16");
    if (!first)
      first = tensor;
    else if (tensor->type != first->type)
      return fail({}, "has element type " + quote(tensor->dtype) +
                          ", expected " + quote(first->dtype) + " as in '" +
                          quote(first->name) + "'");
    parameter.elementType = type;
    used.insert(tensor);
  }
  return success();
}

LogicalResult Checkpoint::checkUnused(function_ref<bool(StringRef)> matters,
                                      std::string &error) const {
  for (size_t i = 0, n = getCount(); i < n; ++i) {
    const moe_st_tensor *tensor = moe_checkpoint_at(checkpoint.get(), i);
    if (used.contains(tensor) || !matters(tensor->name))
      continue;
    const moe_st_file *file = nullptr;
    moe_checkpoint_find(checkpoint.get(), tensor->name, &file);
    error = quotePath(moe_st_path(file)) + ": " + prefixRule(rules.presence) +
            "tensor '" + quote(tensor->name) +
            "' is not part of the model that config.json describes";
    return failure();
  }
  return success();
}

int64_t moe::boundedProduct(ArrayRef<int64_t> factors) {
  int64_t product = 1;
  for (int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product) ||
        product > kMaxElements)
      return -1;
  return product;
}

LogicalResult Parameters::add(Parameter parameter) {
  if (boundedProduct(parameter.shape) < 0) {
    error = config.str() + ": weight '" + parameter.name + "' would be " +
            printShape(parameter.shape) + ", expected at most " +
            std::to_string(kMaxElements) + " elements";
    return failure();
  }
  parameter.elementType = otherwise;
  if (checkpoint &&
      failed(checkpoint->resolve(parameter, otherwise.getContext(), error)))
    return failure();
  parameters.push_back(std::move(parameter));
  return success();
}

void Parameters::build(OpBuilder &b, Location loc) const {
  for (const Parameter &parameter : parameters) {
    RankedTensorType type = parameter.getType();
    auto tensorType = RankedTensorType::get(parameter.getTensorShape(),
                                            type.getElementType());
    int64_t count = parameter.stacked ? 1 : type.getDimSize(0);
    SmallVector<Attribute> sources;
    for (auto [first, tensor] : llvm::enumerate(parameter.tensors))
      sources.push_back(SourceAttr::get(b.getContext(), tensor, tensorType,
                                        first, count, /*part=*/0));
    ParameterOp::create(b, loc, parameter.name, type, b.getArrayAttr(sources),
                        /*panels=*/PanelsAttr(), /*pack=*/FlatSymbolRefAttr());
  }
}

Value Parameters::buildReference(OpBuilder &b, Location loc,
                                 size_t index) const {
  return ParameterRefOp::create(b, loc, parameters[index].getType(),
                                parameters[index].name);
}
