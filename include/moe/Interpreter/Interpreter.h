//===- Interpreter.h - The meaning of ops as plain loops --------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_INTERPRETER_INTERPRETER_H
#define MOE_INTERPRETER_INTERPRETER_H
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include <functional>
#include <memory>
#include <optional>

namespace mlir::moe {

/// Dense row-major values on the host: real numbers (all float or all double,
/// as the interpreter computes) or integers of any width. Copies share their
/// values; whoever made a tensor fills it before handing it on.
class HostTensor {
public:
  enum class Kind { F32, F64, Int };

  /// No tensor.
  HostTensor() = default;

  /// A tensor of T (float, double or int64_t) whose values mean nothing yet:
  /// NaN, or an integer far out of range. `used`, if given, counts the bytes
  /// of living tensors. Nothing if there would be more than `limit` of them,
  /// or the system has no more memory.
  template <typename T>
  static std::optional<HostTensor>
  create(ArrayRef<int64_t> shape, int64_t limit,
         std::shared_ptr<int64_t> used = nullptr) {
    return create(kindOf<T>(), shape, limit, std::move(used));
  }
  static std::optional<HostTensor> create(Kind kind, ArrayRef<int64_t> shape,
                                          int64_t limit,
                                          std::shared_ptr<int64_t> used);

  explicit operator bool() const { return bool(storage); }
  Kind getKind() const { return storage->kind; }
  ArrayRef<int64_t> getShape() const { return shape; }
  int64_t getRank() const { return shape.size(); }
  int64_t dim(int64_t i) const { return shape[i]; }
  int64_t getNumElements() const { return ShapedType::getNumElements(shape); }

  template <typename T> ArrayRef<T> data() const {
    assert(getKind() == kindOf<T>() && "tensor of another kind");
    return {static_cast<const T *>(storage->data) + offset,
            size_t(getNumElements())};
  }
  template <typename T> MutableArrayRef<T> mutableData() {
    assert(getKind() == kindOf<T>() && "tensor of another kind");
    return {static_cast<T *>(storage->data) + offset, size_t(getNumElements())};
  }
  /// Row `i` of a matrix.
  template <typename T> ArrayRef<T> row(int64_t i) const {
    return data<T>().slice(i * dim(1), dim(1));
  }
  template <typename T> MutableArrayRef<T> mutableRow(int64_t i) {
    return mutableData<T>().slice(i * dim(1), dim(1));
  }
  ArrayRef<int64_t> ints() const { return data<int64_t>(); }

  /// Elements [first, first + count) of the first dimension; no copy.
  HostTensor slice(int64_t first, int64_t count) const;
  /// The same values under another shape of as many elements.
  HostTensor reshape(ArrayRef<int64_t> newShape) const;
  /// Element `e` of the first dimension; no copy.
  HostTensor at(int64_t e) const {
    return slice(e, 1).reshape(getShape().drop_front());
  }

  /// The values with this element type, for printing.
  DenseElementsAttr toAttr(Type elementType) const;

private:
  struct Storage {
    ~Storage();
    Kind kind;
    void *data = nullptr;
    int64_t sizeBytes = 0;
    std::shared_ptr<int64_t> used;
  };
  template <typename T> static constexpr Kind kindOf() {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> ||
                  std::is_same_v<T, int64_t>);
    return std::is_same_v<T, float>    ? Kind::F32
           : std::is_same_v<T, double> ? Kind::F64
                                       : Kind::Int;
  }

  std::shared_ptr<Storage> storage;
  int64_t offset = 0;
  SmallVector<int64_t, 4> shape;
};

/// What a value is at run time: one tensor (of rank 0 for a scalar), or the
/// indices and weights of an assignment.
using HostValue = SmallVector<HostTensor, 1>;

/// Executes functions op by op through InterpretableOpInterface. Every error
/// is a diagnostic on the op that it is about.
class Interpreter {
public:
  /// Most bytes of living tensors.
  static constexpr int64_t kMaxBytes = int64_t(1) << 33;
  /// Most nested calls, and most executed ops.
  static constexpr int64_t kMaxDepth = 64, kMaxSteps = 100000000;

  /// Real numbers are float, or double with `useDouble`.
  explicit Interpreter(bool useDouble = false)
      : useDouble(useDouble), used(std::make_shared<int64_t>(0)) {}

  bool usesDouble() const { return useDouble; }

  /// Values of a parameter as it is declared, real; a failure was reported.
  using ParameterFn = std::function<FailureOr<HostTensor>(ParameterOp)>;
  void setParameters(ParameterFn fn) { parameters = std::move(fn); }
  FailureOr<HostTensor> getParameter(Operation *user, ParameterOp parameter);

  FailureOr<SmallVector<HostValue>> run(func::FuncOp func,
                                        ArrayRef<HostValue> arguments);
  /// Runs `block` up to its terminator and returns the terminator's operands.
  FailureOr<SmallVector<HostValue>> run(Block &block,
                                        ArrayRef<HostValue> arguments);

  /// By value: running another op may move what is stored.
  HostTensor get(Value value, unsigned part = 0) const {
    return getValue(value)[part];
  }
  HostValue getValue(Value value) const {
    auto it = values.find(value);
    assert(it != values.end() && "use before definition");
    return it->second;
  }
  /// Value of an integer or index.
  int64_t getInt(Value value) const { return get(value).ints()[0]; }
  void set(Value value, HostValue hostValue) {
    values.insert_or_assign(value, std::move(hostValue));
  }

  /// A new tensor for `op` (see HostTensor::create), or an error on it.
  template <typename T>
  FailureOr<HostTensor> allocate(Operation *op, ArrayRef<int64_t> shape) {
    return checkAllocated(
        op, shape, HostTensor::create<T>(shape, kMaxBytes - *used, used));
  }
  /// The same, with the values of `tensor`.
  FailureOr<HostTensor> copy(Operation *op, const HostTensor &tensor);
  /// The same outside of any op.
  template <typename T>
  std::optional<HostTensor> tryAllocate(ArrayRef<int64_t> shape) {
    return HostTensor::create<T>(shape, kMaxBytes - *used, used);
  }

private:
  FailureOr<HostTensor> checkAllocated(Operation *op, ArrayRef<int64_t> shape,
                                       std::optional<HostTensor> tensor);

  bool useDouble;
  std::shared_ptr<int64_t> used;
  ParameterFn parameters;
  llvm::DenseMap<Operation *, HostTensor> parameterValues;
  llvm::DenseMap<Value, HostValue> values;
  int64_t depth = 0, steps = 0;
};

/// Where column n of matrix `part` lies in a row of its panel (#moe.panels).
int64_t panelPosition(PanelsAttr panels, Type element, int64_t part, int64_t n);

/// Attaches the interpreter's models to moe, nn and the upstream ops it knows.
void registerInterpretableOpInterfaceExternalModels(DialectRegistry &registry);

} // namespace mlir::moe
#endif // MOE_INTERPRETER_INTERPRETER_H
