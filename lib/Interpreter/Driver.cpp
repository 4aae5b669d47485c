//===- Driver.cpp - Run a function on tensors in files --------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Interpreter/Driver.h"
#include "moe/Interpreter/Interpreter.h"
#include "moe/Support/Symbols.h"
#include "safetensors.h"
#include "synthetic.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/EndianStream.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::moe;
namespace endian = llvm::support::endian;

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

static LogicalResult fail(const Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return failure();
}

/// Text from files and flags, made fit for a message.
static std::string quote(StringRef text, bool isPath = false) {
  moe_quoted quoted;
  return moe_quote(&quoted, text.data(), text.size(), isPath);
}

static std::string formatShape(ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "[";
  llvm::interleaveComma(shape, os);
  os << "]";
  return text;
}

static SmallVector<int64_t> getShape(const moe_st_tensor &tensor) {
  return SmallVector<int64_t>(tensor.shape, tensor.shape + tensor.rank);
}

//===----------------------------------------------------------------------===//
// Values from and to files
//===----------------------------------------------------------------------===//

/// The name of an element type in a file; empty for one that files cannot hold.
static StringRef getDtypeName(Type type) {
  return type.isF32()         ? "F32"
         : type.isF16()       ? "F16"
         : type.isBF16()      ? "BF16"
         : type.isInteger(32) ? "I32"
         : type.isInteger(64) ? "I64"
                              : "";
}

/// Bytes of an element, of a type with a name.
static int64_t getDtypeSize(Type type) {
  return type.getIntOrFloatBitWidth() / 8;
}

static float widenHalf(uint16_t half) {
  int exponent = half >> 10 & 31, mantissa = half & 1023;
  float value =
      exponent == 31  ? (mantissa ? std::numeric_limits<float>::quiet_NaN()
                                  : std::numeric_limits<float>::infinity())
      : exponent == 0 ? std::ldexp(float(mantissa), -24)
                      : std::ldexp(float(1024 + mantissa), exponent - 25);
  return half >> 15 ? -value : value;
}

/// Element `i` of dense values at `data`, which need not be aligned.
static float readReal(Type type, const char *data, int64_t i) {
  if (type.isF32())
    return llvm::bit_cast<float>(
        endian::read<uint32_t, llvm::endianness::little>(data + 4 * i));
  uint16_t bits =
      endian::read<uint16_t, llvm::endianness::little>(data + 2 * i);
  return type.isF16() ? widenHalf(bits)
                      : llvm::bit_cast<float>(uint32_t(bits) << 16);
}
static int64_t readInt(Type type, const char *data, int64_t i) {
  if (type.isInteger(32))
    return int32_t(
        endian::read<uint32_t, llvm::endianness::little>(data + 4 * i));
  return int64_t(
      endian::read<uint64_t, llvm::endianness::little>(data + 8 * i));
}

/// Element `i` of a tensor of the interpreter.
static double getReal(const HostTensor &tensor, int64_t i) {
  return tensor.getKind() == HostTensor::Kind::F32
             ? double(tensor.data<float>()[i])
             : tensor.data<double>()[i];
}
static void setReal(HostTensor &tensor, int64_t i, float value) {
  if (tensor.getKind() == HostTensor::Kind::F32)
    tensor.mutableData<float>()[i] = value;
  else
    tensor.mutableData<double>()[i] = value;
}

/// A tensor of `shape` for elements of type `type`.
static std::optional<HostTensor> allocate(Interpreter &in, Type type,
                                          ArrayRef<int64_t> shape) {
  if (!isa<FloatType>(type))
    return in.tryAllocate<int64_t>(shape);
  return in.usesDouble() ? in.tryAllocate<double>(shape)
                         : in.tryAllocate<float>(shape);
}

namespace {
template <typename T, void (*close)(T *)> struct Closer {
  void operator()(T *handle) const { close(handle); }
};
using File = std::unique_ptr<moe_st_file, Closer<moe_st_file, moe_st_close>>;
using Checkpoint =
    std::unique_ptr<moe_checkpoint,
                    Closer<moe_checkpoint, moe_checkpoint_close>>;
} // namespace

static FailureOr<File> openFile(StringRef path) {
  moe_st_file *file;
  moe_error error;
  if (moe_st_open(path.str().c_str(), 0, &file, &error) != MOE_RT_OK)
    return fail(error.text);
  return File(file);
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

namespace {
/// Where the values of parameters come from.
class ParameterReader {
public:
  explicit ParameterReader(Interpreter &in) : in(in) {}

  LogicalResult open(StringRef source) {
    moe_error error = {};
    uint64_t number;
    if (moe_synthetic_seed(source.str().c_str(), &number, &error)) {
      seed = number;
      return success();
    }
    if (error.text[0])
      return fail(error.text);
    moe_checkpoint *opened;
    if (moe_checkpoint_open(source.str().c_str(), 0, &opened, &error) !=
        MOE_RT_OK)
      return fail(error.text);
    checkpoint.reset(opened);
    return success();
  }

  FailureOr<HostTensor> read(ParameterOp parameter) {
    RankedTensorType type = parameter.getTensorType();
    ArrayRef<int64_t> shape = type.getShape();
    std::optional<PanelsAttr> panels = parameter.getPanels();
    std::optional<HostTensor> tensor;
    if (type.getRank() > 0 && !getDtypeName(type.getElementType()).empty() &&
        (isa<FloatType>(type.getElementType()) || !panels))
      tensor = allocate(in, type.getElementType(), shape);
    if (!tensor)
      return parameter.emitOpError("cannot be interpreted: no values of type ")
             << type;
    // Columns from N on are zero.
    if (panels)
      for (int64_t i = 0, e = tensor->getNumElements(); i < e; ++i)
        setReal(*tensor, i, 0);
    std::vector<bool> filled(shape[0] * (panels ? panels->getParts() : 1));
    for (auto source : parameter.getSources().getAsRange<SourceAttr>()) {
      for (int64_t g = source.getFirst(),
                   e = source.getFirst() + source.getCount();
           g < e; ++g) {
        auto cell = filled[source.getPart() * shape[0] + g];
        if (cell)
          return parameter.emitOpError("source \"")
                 << source.getTensor() << "\" fills index " << g
                 << " a second time";
        cell = true;
      }
      if (failed(readSource(parameter, source, panels, *tensor)))
        return failure();
    }
    return *tensor;
  }

private:
  LogicalResult readSource(ParameterOp parameter, SourceAttr source,
                           std::optional<PanelsAttr> panels,
                           HostTensor &tensor) {
    RankedTensorType type = source.getType();
    Type element = type.getElementType();
    int64_t n = type.getNumElements();
    int64_t depth = panels ? tensor.dim(2) : 1;
    int64_t perIndex =
        panels ? panels->getColumns() * depth
               : tensor.getNumElements() / std::max<int64_t>(tensor.dim(0), 1);
    if (source.getCount() * perIndex != n)
      return parameter.emitOpError("source \"")
             << source.getTensor() << "\" has " << n << " elements, but "
             << source.getCount() << " indices need "
             << source.getCount() * perIndex;
    std::string storage;
    const char *data;
    if (seed) {
      storage.resize(n * getDtypeSize(element));
      SmallVector<uint64_t> extents(type.getShape());
      moe_synthetic_fill(*seed, source.getTensor().str().c_str(),
                         getDtype(element), extents.size(), extents.data(),
                         storage.data());
      data = storage.data();
    } else {
      const moe_st_tensor *found = moe_checkpoint_find(
          checkpoint.get(), source.getTensor().str().c_str(), nullptr);
      std::string path = quote(moe_checkpoint_path(checkpoint.get()), true),
                  name = quote(source.getTensor());
      if (!found)
        return fail(path + ": tensor '" + name + "' is missing");
      if (getDtypeName(element) != found->dtype)
        return fail(path + ": tensor '" + name + "' is " + quote(found->dtype) +
                    ", expected " + getDtypeName(element));
      if (ArrayRef<int64_t>(getShape(*found)) != type.getShape())
        return fail(path + ": tensor '" + name + "' has shape " +
                    formatShape(getShape(*found)) + ", expected " +
                    formatShape(type.getShape()));
      data = static_cast<const char *>(found->data);
    }
    for (int64_t i = 0; i < n; ++i) {
      int64_t g = source.getFirst() + i / perIndex, inner = i % perIndex;
      int64_t to = g * perIndex + inner;
      if (panels) {
        int64_t column = inner / depth, k = inner % depth;
        int64_t width = panels->getWidth();
        to =
            ((g * tensor.dim(1) + column / width) * depth + k) * tensor.dim(3) +
            panelPosition(*panels, element, source.getPart(), column);
      }
      if (isa<FloatType>(element))
        setReal(tensor, to, readReal(element, data, i));
      else
        tensor.mutableData<int64_t>()[to] = readInt(element, data, i);
    }
    return success();
  }

  static int32_t getDtype(Type type) {
    return type.isF32()         ? MOE_RT_F32
           : type.isF16()       ? MOE_RT_F16
           : type.isBF16()      ? MOE_RT_BF16
           : type.isInteger(32) ? MOE_RT_I32
                                : MOE_RT_I64;
  }

  Interpreter &in;
  std::optional<uint64_t> seed;
  Checkpoint checkpoint;
};
} // namespace

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

namespace {
/// A result under its outer name and shape.
struct Output {
  std::string name;
  Type element;
  SmallVector<int64_t> shape;
  HostTensor tensor;
};

/// One function on tensors with names. What it keeps between calls (the KV
/// cache) is kept here; give the same object to `prefill` and `decode`.
struct State {
  llvm::StringMap<HostTensor> tensors;
  /// Tokens of each row.
  int64_t length = 0;
  /// N: tokens of a row that the cache has room for.
  int64_t capacity = 0;
};

class Call {
public:
  Call(func::FuncOp func, Interpreter &in) : func(func), in(in) {}

  /// Arguments that a caller has to give: no state, no lengths.
  bool isInput(unsigned i) {
    return !func.getArgAttr(i, MoEDialect::kStateAttr) &&
           !func.getArgAttr(i, MoEDialect::kLengthsAttr);
  }
  std::string getArgumentName(unsigned i) {
    return getName(func.getArgAttrOfType<StringAttr>(i, MoEDialect::kNameAttr),
                   "arg", i);
  }
  std::string getResultName(unsigned i) {
    return getName(
        func.getResultAttrOfType<StringAttr>(i, MoEDialect::kNameAttr),
        "result", i);
  }

  /// Takes an argument's values; `where` names them in messages.
  LogicalResult setInput(unsigned i, const HostTensor &tensor,
                         ArrayRef<int64_t> shape, const Twine &where);
  FailureOr<SmallVector<Output>> run(State &state);

private:
  static std::string getName(StringAttr attr, StringRef prefix, unsigned i) {
    return attr ? attr.str() : (prefix + Twine(i)).str();
  }
  /// The value of a size, once its symbols are known.
  std::optional<int64_t> resolve(Attribute size);
  FailureOr<SmallVector<int64_t>> resolveShape(ArrayAttr shape, StringRef name);
  FailureOr<HostTensor> makeState(unsigned i, State &state);

  func::FuncOp func;
  Interpreter &in;
  llvm::StringMap<int64_t> symbols;
  llvm::DenseMap<unsigned, HostTensor> inputs;
};
} // namespace

std::optional<int64_t> Call::resolve(Attribute entry) {
  FailureOr<SymbolicSize> size = parseSymbolicSize(entry);
  if (failed(size))
    return std::nullopt;
  if (size->symbol.empty())
    return size->value;
  int64_t product = size->value;
  SmallVector<StringRef> factors;
  size->symbol.split(factors, '*');
  for (StringRef factor : factors) {
    auto it = symbols.find(factor);
    if (it == symbols.end() || llvm::MulOverflow(product, it->second, product))
      return std::nullopt;
  }
  return product;
}

FailureOr<SmallVector<int64_t>> Call::resolveShape(ArrayAttr shape,
                                                   StringRef name) {
  SmallVector<int64_t> sizes;
  for (Attribute entry : shape) {
    std::optional<int64_t> size = resolve(entry);
    if (!size)
      return func.emitError("cannot be interpreted: no input tells the size ")
             << entry << " of '" << name << "'";
    sizes.push_back(*size);
  }
  return sizes;
}

/// The sizes of `shape` with leading ones merged into `rank` sizes; a product
/// that is too large stays at a number that no tensor has.
static SmallVector<int64_t> mergeShape(ArrayRef<int64_t> shape, int64_t rank) {
  SmallVector<int64_t> merged(shape);
  while (int64_t(merged.size()) > std::max<int64_t>(rank, 1)) {
    merged[1] = mulSizes(merged[0], merged[1]);
    merged.erase(merged.begin());
  }
  return merged;
}

LogicalResult Call::setInput(unsigned i, const HostTensor &tensor,
                             ArrayRef<int64_t> shape, const Twine &where) {
  auto declared = func.getArgAttrOfType<ArrayAttr>(i, MoEDialect::kShapeAttr);
  if (declared) {
    // Symbols that stand alone are bound, then everything is compared.
    bool fits = declared.size() == shape.size();
    for (auto [entry, size] : llvm::zip(declared, shape))
      if (auto symbol = dyn_cast<StringAttr>(entry))
        if (fits && !symbol.getValue().contains('*'))
          symbols.try_emplace(symbol.getValue(), size);
    for (auto [entry, size] : llvm::zip(declared, shape))
      fits = fits && resolve(entry) == size;
    if (!fits) {
      std::string wanted;
      llvm::raw_string_ostream os(wanted);
      llvm::interleaveComma(declared, os, [&](Attribute entry) {
        auto symbol = dyn_cast<StringAttr>(entry);
        os << (symbol ? symbol.getValue() : "");
        std::optional<int64_t> size = resolve(entry);
        if (symbol && size)
          os << " = ";
        if (size)
          os << *size;
      });
      return fail(where + " has shape " + formatShape(shape) + ", expected [" +
                  wanted + "]");
    }
  }
  auto type = dyn_cast<RankedTensorType>(func.getArgumentTypes()[i]);
  SmallVector<int64_t> merged = type && declared
                                    ? mergeShape(shape, type.getRank())
                                    : SmallVector<int64_t>(shape);
  if (!type ? !merged.empty()
            : failed(verifyCompatibleShape(merged, type.getShape())))
    return fail(where + " has shape " + formatShape(shape) +
                ", which does not fit the function's argument");
  if (auto limit =
          func.getArgAttrOfType<IntegerAttr>(i, MoEDialect::kLimitAttr))
    if (tensor.getKind() == HostTensor::Kind::Int && limit.getInt() > 0)
      for (int64_t value : tensor.ints())
        if (value < 0 || value >= limit.getInt())
          return fail(where + " holds " + Twine(value) + ", not in [0, " +
                      Twine(limit.getInt()) + ")");
  inputs[i] = tensor.reshape(merged);
  return success();
}

/// Zeros of the right shape, or what an earlier call left.
FailureOr<HostTensor> Call::makeState(unsigned i, State &state) {
  std::string name = getArgumentName(i);
  auto type = dyn_cast<RankedTensorType>(func.getArgumentTypes()[i]);
  auto shape = func.getArgAttrOfType<ArrayAttr>(i, MoEDialect::kShapeAttr);
  if (!type || !shape)
    return func.emitError("cannot be interpreted: state '")
           << name << "' needs a tensor type and moe.shape";
  FailureOr<SmallVector<int64_t>> sizes = resolveShape(shape, name);
  if (failed(sizes))
    return failure();
  bool isLengths = bool(func.getArgAttr(i, MoEDialect::kLengthsAttr));
  auto it = state.tensors.find(name);
  if (!isLengths && it != state.tensors.end())
    return it->second;
  std::optional<HostTensor> tensor =
      allocate(in, type.getElementType(), *sizes);
  if (!tensor)
    return fail("state '" + quote(name) + "' of shape " + formatShape(*sizes) +
                " does not fit into memory");
  for (int64_t e = 0; e < tensor->getNumElements(); ++e)
    if (isa<FloatType>(type.getElementType()))
      setReal(*tensor, e, 0);
    else
      tensor->mutableData<int64_t>()[e] = isLengths ? state.length : 0;
  return *tensor;
}

FailureOr<SmallVector<Output>> Call::run(State &state) {
  if (func.isExternal())
    return fail("function '" + func.getSymName() + "' has no body");
  auto module = func->getParentOfType<ModuleOp>();
  auto maxLength =
      module->getAttrOfType<IntegerAttr>(MoEDialect::kMaxLengthAttr);
  auto s = symbols.find("S");
  if (maxLength && maxLength.getInt() > 0 && s != symbols.end() &&
      s->second > maxLength.getInt())
    return fail("sequences of " + Twine(s->second) +
                " tokens are longer than the model's " +
                Twine(maxLength.getInt()));
  if (state.capacity == 0)
    state.capacity = s == symbols.end() ? 1 : std::max<int64_t>(s->second, 1);
  symbols.try_emplace("N", state.capacity);

  SmallVector<HostValue> arguments;
  for (unsigned i = 0; i < func.getNumArguments(); ++i) {
    if (isInput(i)) {
      arguments.push_back({inputs.lookup(i)});
      continue;
    }
    FailureOr<HostTensor> tensor = makeState(i, state);
    if (failed(tensor))
      return failure();
    arguments.push_back({*tensor});
  }
  FailureOr<SmallVector<HostValue>> results = in.run(func, arguments);
  if (failed(results))
    return failure();

  // Results that count others are no outputs, and states stay inside.
  llvm::StringMap<int64_t> counts;
  for (unsigned i = 0; i < func.getNumResults(); ++i)
    if (auto count =
            func.getResultAttrOfType<StringAttr>(i, MoEDialect::kCountAttr))
      counts.try_emplace(count.getValue(), -1);
  llvm::StringMap<bool> states;
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    if (func.getArgAttr(i, MoEDialect::kStateAttr))
      states[getArgumentName(i)] = true;
  for (auto [i, result] : llvm::enumerate(*results)) {
    auto it = counts.find(getResultName(i));
    if (it == counts.end())
      continue;
    const HostTensor &count = result[0];
    if (count.getKind() != HostTensor::Kind::Int || count.getNumElements() != 1)
      return func.emitError("cannot be interpreted: count '")
             << it->first() << "' is not one integer";
    it->second = count.ints()[0];
  }

  SmallVector<Output> outputs;
  for (auto [i, result] : llvm::enumerate(*results)) {
    std::string name = getResultName(i);
    if (result.size() != 1)
      return func.emitError("cannot be interpreted: result '")
             << name << "' is not a tensor";
    HostTensor tensor = result[0];
    if (states.contains(name)) {
      state.tensors[name] = tensor;
      continue;
    }
    if (counts.contains(name))
      continue;
    SmallVector<int64_t> shape(tensor.getShape());
    if (auto declared =
            func.getResultAttrOfType<ArrayAttr>(i, MoEDialect::kShapeAttr)) {
      FailureOr<SmallVector<int64_t>> sizes = resolveShape(declared, name);
      if (failed(sizes))
        return failure();
      if (mergeShape(*sizes, tensor.getRank()) != shape)
        return func.emitError("cannot be interpreted: result '")
               << name << "' has shape " << formatShape(shape)
               << ", but moe.shape says " << formatShape(*sizes);
      shape = *sizes;
    }
    if (auto count =
            func.getResultAttrOfType<StringAttr>(i, MoEDialect::kCountAttr)) {
      int64_t used = counts.lookup(count.getValue());
      if (shape.empty() || used < 0 || used > shape[0] ||
          tensor.getShape() != ArrayRef(shape))
        return func.emitError("cannot be interpreted: result '")
               << name << "' of shape " << formatShape(shape) << " has " << used
               << " entries in use";
      tensor = tensor.slice(0, used);
      shape[0] = used;
    }
    outputs.push_back(
        {name, getElementTypeOrSelf(func.getResultTypes()[i]), shape, tensor});
  }
  return outputs;
}

//===----------------------------------------------------------------------===//
// Inputs and outputs
//===----------------------------------------------------------------------===//

/// Gives `call` its inputs from `file`; `names` says which tensor an argument
/// takes where the names differ.
static LogicalResult readInputs(Call &call, func::FuncOp func,
                                const moe_st_file *file,
                                const llvm::StringMap<std::string> &names,
                                Interpreter &in) {
  for (unsigned i = 0; i < func.getNumArguments(); ++i) {
    if (!call.isInput(i))
      continue;
    std::string name = call.getArgumentName(i);
    if (auto it = names.find(name); it != names.end())
      name = it->second;
    if (!file)
      return fail("function '" + func.getSymName() + "' takes '" + quote(name) +
                  "': --input=FILE must be given");
    const moe_st_tensor *found = moe_st_find(file, name.c_str());
    std::string where =
        quote(moe_st_path(file), true) + ": tensor '" + quote(name) + "'";
    if (!found)
      return fail(where + " is missing");
    Type element = getElementTypeOrSelf(func.getArgumentTypes()[i]);
    StringRef dtype = getDtypeName(element);
    if (dtype.empty())
      return func.emitError("cannot be interpreted: argument ")
             << i << " of type " << func.getArgumentTypes()[i]
             << " cannot be read from a file";
    if (dtype != found->dtype)
      return fail(where + " is " + quote(found->dtype) + ", expected " + dtype);
    SmallVector<int64_t> shape = getShape(*found);
    std::optional<HostTensor> tensor = allocate(in, element, shape);
    if (!tensor)
      return fail(where + " of shape " + formatShape(shape) + " is too large");
    const char *data = static_cast<const char *>(found->data);
    for (int64_t e = 0, n = tensor->getNumElements(); e < n; ++e)
      if (isa<FloatType>(element))
        setReal(*tensor, e, readReal(element, data, e));
      else
        tensor->mutableData<int64_t>()[e] = readInt(element, data, e);
    if (failed(call.setInput(i, *tensor, shape, where)))
      return failure();
  }
  return success();
}

/// Real numbers as F32, integers in their width.
static LogicalResult writeOutputs(StringRef path, ArrayRef<Output> outputs) {
  std::vector<std::string> bytes;
  SmallVector<moe_st_entry> entries;
  for (const Output &output : outputs) {
    bool real = isa<FloatType>(output.element);
    StringRef dtype = real ? "F32" : getDtypeName(output.element);
    if (dtype.empty())
      return fail("result '" + quote(output.name) +
                  "' has an element type that files do not have");
    std::string &data = bytes.emplace_back();
    llvm::raw_string_ostream os(data);
    llvm::support::endian::Writer writer(os, llvm::endianness::little);
    for (int64_t i = 0, n = output.tensor.getNumElements(); i < n; ++i)
      if (real)
        writer.write(float(getReal(output.tensor, i)));
      else if (dtype == "I32")
        writer.write(int32_t(output.tensor.ints()[i]));
      else
        writer.write(output.tensor.ints()[i]);
  }
  for (auto [output, data] : llvm::zip_equal(outputs, bytes)) {
    StringRef dtype = isa<FloatType>(output.element)
                          ? StringRef("F32")
                          : getDtypeName(output.element);
    entries.push_back({output.name.c_str(), dtype.data(),
                       int32_t(output.shape.size()), output.shape.data(),
                       data.data()});
  }
  moe_error error;
  if (moe_st_write(path.str().c_str(), entries.data(), entries.size(), nullptr,
                   0, &error) != MOE_RT_OK)
    return fail(error.text);
  return success();
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

namespace {
/// Compares outputs with the tensors of a file. Says on the error stream what
/// is wrong with the first tensor that does not agree.
class Comparison {
public:
  Comparison(const moe_st_file *file, double rtol, double atol)
      : file(file), rtol(rtol), atol(atol) {}

  LogicalResult compare(const moe_st_tensor &expected, const Output &got);
  std::string where(const moe_st_tensor &tensor) const {
    return quote(moe_st_path(file), true) + ": tensor '" + quote(tensor.name) +
           "'";
  }

private:
  const moe_st_file *file;
  double rtol, atol;
};
} // namespace

static std::string formatNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

LogicalResult Comparison::compare(const moe_st_tensor &expected,
                                  const Output &got) {
  bool real = isa<FloatType>(got.element);
  Type type = got.element;
  Builder b(type.getContext());
  if (real)
    for (Type candidate :
         {Type(b.getF32Type()), Type(b.getF16Type()), Type(b.getBF16Type())})
      if (getDtypeName(candidate) == expected.dtype)
        type = candidate;
  if (getDtypeName(type) != expected.dtype)
    return fail(where(expected) + ": got " + getDtypeName(got.element) +
                ", expected " + quote(expected.dtype));
  if (ArrayRef(got.shape) != ArrayRef<int64_t>(getShape(expected)))
    return fail(where(expected) + ": got shape " + formatShape(got.shape) +
                ", expected " + formatShape(getShape(expected)));
  const char *data = static_cast<const char *>(expected.data);
  int64_t n = got.tensor.getNumElements(), bad = 0, worst = 0;
  double worstExcess = 0;
  for (int64_t i = 0; i < n; ++i) {
    double excess;
    if (real) {
      double g = getReal(got.tensor, i), e = readReal(type, data, i);
      // A NaN is out of tolerance even where one is expected.
      excess = g == e ? -1
               : std::isfinite(g) && std::isfinite(e)
                   ? std::abs(g - e) - (atol + rtol * std::abs(e))
                   : std::numeric_limits<double>::infinity();
    } else {
      int64_t g = got.tensor.ints()[i], e = readInt(type, data, i);
      excess = g == e ? -1 : std::abs(double(g) - double(e));
    }
    if (!(excess > 0))
      continue;
    if (!bad++ || excess > worstExcess) {
      worst = i;
      worstExcess = excess;
    }
  }
  if (bad == 0)
    return success();
  SmallVector<int64_t> index(got.shape.size());
  for (int64_t d = int64_t(index.size()) - 1, rest = worst; d >= 0; --d) {
    index[d] = rest % got.shape[d];
    rest /= got.shape[d];
  }
  std::string difference = real ? "differ by more than " + formatNumber(atol) +
                                      " + " + formatNumber(rtol) +
                                      " * |expected|"
                                : std::string("differ");
  std::string g = real ? formatNumber(getReal(got.tensor, worst))
                       : std::to_string(got.tensor.ints()[worst]);
  std::string e = real ? formatNumber(readReal(type, data, worst))
                       : std::to_string(readInt(type, data, worst));
  return fail(where(expected) + " at " + formatShape(index) + ": got " + g +
              ", expected " + e + "; " + Twine(bad) + " of " + Twine(n) +
              " elements " + difference);
}

/// `count` greedy tokens after row 0 of the tensor `input_ids` of `file`, by
/// `prefill` and `decode`. Fails after an error message.
static FailureOr<SmallVector<int64_t>> generate(ModuleOp module, int64_t count,
                                                const moe_st_tensor &ids,
                                                Interpreter &in) {
  Builder b(module.getContext());
  const char *data = static_cast<const char *>(ids.data);
  Type type = StringRef(ids.dtype) == "I32" ? b.getI32Type() : b.getI64Type();
  SmallVector<int64_t> tokens, input;
  for (uint64_t i = 0; i < ids.shape[1]; ++i)
    input.push_back(readInt(type, data, i));
  State state;
  if (llvm::AddOverflow(int64_t(input.size()), count, state.capacity))
    return fail("tensor 'next_tokens' is too long");
  for (int64_t step = 0; step < count; ++step) {
    auto func =
        module.lookupSymbol<func::FuncOp>(step == 0 ? "prefill" : "decode");
    Call call(func, in);
    for (unsigned i = 0; i < func.getNumArguments(); ++i) {
      if (!call.isInput(i))
        continue;
      if (call.getArgumentName(i) != "input_ids")
        return fail("function '" + func.getSymName() + "' takes '" +
                    quote(call.getArgumentName(i)) +
                    "', so it cannot continue a text");
      SmallVector<int64_t> shape{1, int64_t(input.size())};
      std::optional<HostTensor> tensor = in.tryAllocate<int64_t>(shape);
      if (!tensor)
        return fail("tensor 'input_ids' is too large");
      llvm::copy(input, tensor->mutableData<int64_t>().begin());
      if (failed(call.setInput(i, *tensor, shape, "tensor 'input_ids'")))
        return failure();
    }
    FailureOr<SmallVector<Output>> outputs = call.run(state);
    if (failed(outputs))
      return failure();
    const Output *logits = llvm::find_if(
        *outputs, [](const Output &output) { return output.name == "logits"; });
    if (logits == outputs->end() || logits->tensor.getNumElements() == 0 ||
        !isa<FloatType>(logits->element))
      return fail("function '" + func.getSymName() + "' gives no 'logits'");
    int64_t best = 0;
    for (int64_t v = 1; v < logits->tensor.getNumElements(); ++v)
      if (getReal(logits->tensor, v) > getReal(logits->tensor, best))
        best = v;
    state.length += input.size();
    tokens.push_back(best);
    input = {best};
  }
  return tokens;
}

/// Compares every tensor of `file` that is no input of `func`.
static InterpretResult checkExpected(ModuleOp module, func::FuncOp func,
                                     Call &call, ArrayRef<Output> outputs,
                                     const moe_st_file *file,
                                     const moe_st_file *inputs,
                                     const InterpretOptions &options,
                                     Interpreter &in) {
  llvm::StringMap<const Output *> byName;
  for (const Output &output : outputs)
    byName[output.name] = &output;
  llvm::StringMap<bool> inputNames;
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    inputNames[call.getArgumentName(i)] = true;
  Comparison comparison(file, options.rtol, options.atol);
  for (size_t i = 0; i < moe_st_count(file); ++i) {
    const moe_st_tensor &expected = *moe_st_at(file, i);
    if (inputNames.contains(expected.name))
      continue;
    auto it = byName.find(expected.name);
    if (it != byName.end()) {
      if (failed(comparison.compare(expected, *it->second)))
        return kInterpretDiffers;
      continue;
    }
    std::string where = comparison.where(expected);
    if (StringRef(expected.name) != "next_tokens" ||
        !module.lookupSymbol<func::FuncOp>("prefill") ||
        !module.lookupSymbol<func::FuncOp>("decode")) {
      (void)fail(where + " is not produced by function '" + func.getSymName() +
                 "'");
      return kInterpretDiffers;
    }
    const moe_st_tensor *ids =
        inputs ? moe_st_find(inputs, "input_ids") : nullptr;
    if (!ids || ids->rank != 2 || ids->shape[0] < 1 || ids->shape[1] < 1 ||
        (StringRef(ids->dtype) != "I64" && StringRef(ids->dtype) != "I32") ||
        expected.rank != 1) {
      (void)fail(where + " cannot be checked: it needs shape [N] and a token "
                         "of 'input_ids' to go on from");
      return kInterpretDiffers;
    }
    FailureOr<SmallVector<int64_t>> tokens =
        generate(module, expected.shape[0], *ids, in);
    if (failed(tokens))
      return kInterpretError;
    std::optional<HostTensor> tensor =
        in.tryAllocate<int64_t>({int64_t(tokens->size())});
    if (!tensor) {
      (void)fail(where + " is too large");
      return kInterpretError;
    }
    llvm::copy(*tokens, tensor->mutableData<int64_t>().begin());
    Output got{"next_tokens",
               Builder(module.getContext()).getI64Type(),
               {int64_t(tokens->size())},
               *tensor};
    if (failed(comparison.compare(expected, got)))
      return kInterpretDiffers;
  }
  return kInterpretDone;
}

InterpretResult moe::interpretModule(ModuleOp module,
                                     const InterpretOptions &options) {
  auto func = module.lookupSymbol<func::FuncOp>(options.function);
  if (!func || func.isExternal()) {
    (void)fail("no function '" + quote(options.function) +
               "' with a body in the module");
    return kInterpretError;
  }
  Interpreter in(options.useDouble);
  ParameterReader parameters(in);
  if (!options.params.empty()) {
    if (failed(parameters.open(options.params)))
      return kInterpretError;
    in.setParameters(
        [&](ParameterOp parameter) { return parameters.read(parameter); });
  }

  // FILE[,NAME=TENSOR...]
  SmallVector<StringRef> parts;
  StringRef(options.input).split(parts, ',');
  llvm::StringMap<std::string> names;
  for (StringRef part : ArrayRef(parts).drop_front()) {
    auto [name, tensor] = part.split('=');
    if (name.empty() || tensor.empty()) {
      (void)fail("--input: expected NAME=TENSOR after the file, found '" +
                 quote(part) + "'");
      return kInterpretError;
    }
    names[name] = tensor.str();
  }
  File inputs, expected;
  auto open = [](StringRef path, File &file) -> LogicalResult {
    if (path.empty())
      return success();
    FailureOr<File> opened = openFile(path);
    if (failed(opened))
      return failure();
    file = std::move(*opened);
    return success();
  };
  if (failed(open(parts[0], inputs)) || failed(open(options.expect, expected)))
    return kInterpretError;

  Call call(func, in);
  State state;
  if (failed(readInputs(call, func, inputs.get(), names, in)))
    return kInterpretError;
  FailureOr<SmallVector<Output>> outputs = call.run(state);
  if (failed(outputs))
    return kInterpretError;
  if (expected) {
    InterpretResult result =
        checkExpected(module, func, call, *outputs, expected.get(),
                      inputs.get(), options, in);
    if (result != kInterpretDone)
      return result;
  }
  if (!options.output.empty() && failed(writeOutputs(options.output, *outputs)))
    return kInterpretError;
  return kInterpretDone;
}
