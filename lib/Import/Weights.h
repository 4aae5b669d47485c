//===- Weights.h - Parameters and the tensors they come from ----*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_IMPORT_WEIGHTS_H
#define MOE_LIB_IMPORT_WEIGHTS_H
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "moe/Import/Import.h"
#include "safetensors.h"
#include "llvm/ADT/DenseSet.h"
#include <memory>
#include <string>
#include <vector>

namespace mlir::moe {

/// A parameter of the model and the checkpoint tensors it is made of.
struct Parameter {
  std::string name;
  SmallVector<int64_t> shape;
  /// One tensor of this shape; or, if `stacked`, one for each leading index.
  std::vector<std::string> tensors;
  bool stacked = false;
  /// Known once the parameter is resolved.
  Type elementType = {};

  RankedTensorType getType() const {
    return RankedTensorType::get(shape, elementType);
  }
  /// The shape of one tensor.
  ArrayRef<int64_t> getTensorShape() const {
    return ArrayRef<int64_t>(shape).drop_front(stacked ? 1 : 0);
  }
};

/// Rules of LAYER_FORMAT that tensors may break; empty for other formats.
struct TensorRules {
  StringRef presence, shape;
};

/// Headers of a checkpoint.
class Checkpoint {
public:
  static std::optional<Checkpoint> open(StringRef directory, TensorRules rules,
                                        std::string &error);

  bool has(StringRef tensor) const;
  size_t getCount() const { return moe_checkpoint_count(checkpoint.get()); }

  /// Finds the parameter's tensors, checks their shapes and types, sets its
  /// element type and counts the tensors as used.
  LogicalResult resolve(Parameter &parameter, MLIRContext *context,
                        std::string &error);

  /// Fails if a tensor that `matters` was not used.
  LogicalResult checkUnused(function_ref<bool(StringRef)> matters,
                            std::string &error) const;

private:
  /// The file, or the directory if there are several.
  StringRef getPath() const;

  struct Close {
    void operator()(moe_checkpoint *checkpoint) const {
      moe_checkpoint_close(checkpoint);
    }
  };
  std::unique_ptr<moe_checkpoint, Close> checkpoint;
  TensorRules rules;
  llvm::DenseSet<const moe_st_tensor *> used;
};

/// `a * b * ...`, or -1 if that exceeds kMaxElements. Factors are not negative.
int64_t boundedProduct(ArrayRef<int64_t> factors);

/// The parameters of a model, in order.
class Parameters {
public:
  /// Without a checkpoint, every parameter is of type `otherwise`. `config` is
  /// the file that gave the shapes.
  Parameters(Checkpoint *checkpoint, Type otherwise, StringRef config,
             std::string &error)
      : checkpoint(checkpoint), otherwise(otherwise), config(config),
        error(error) {}

  /// Checks the size, finds the tensors, sets the element type. So a model
  /// that is not there ends at its first tensor.
  LogicalResult add(Parameter parameter);

  /// One moe.parameter for each.
  void build(OpBuilder &b, Location loc) const;
  /// moe.parameter_ref to parameter number `index`.
  Value buildReference(OpBuilder &b, Location loc, size_t index) const;

  size_t size() const { return parameters.size(); }
  RankedTensorType getType(size_t index) const {
    return parameters[index].getType();
  }

private:
  Checkpoint *checkpoint;
  Type otherwise;
  StringRef config;
  std::string &error;
  std::vector<Parameter> parameters;
};

} // namespace mlir::moe
#endif // MOE_LIB_IMPORT_WEIGHTS_H
