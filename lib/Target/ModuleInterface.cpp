//===- ModuleInterface.cpp - What a compiled module shows -----------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Target/ModuleInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Support/Symbols.h"
#include "moe_abi.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;

// What the runtime takes (runtime/src/manifest.c); a file beyond it would be
// refused there, so it is not made here.
constexpr size_t kMaxSymbols = 256;
constexpr size_t kMaxArguments = 4096;
constexpr size_t kMaxNameBytes = 4096;
constexpr int64_t kMaxParameterBytes = int64_t(1) << 46;
/// Longest sequence and largest vocabulary.
constexpr int64_t kMaxModelSize = INT32_MAX;

std::optional<uint32_t> moe::getInterfaceType(Type type) {
  if (type.isF32())
    return MOE_ABI_F32;
  if (type.isF16())
    return MOE_ABI_F16;
  if (type.isBF16())
    return MOE_ABI_BF16;
  if (type.isF64())
    return MOE_ABI_F64;
  if (type.isSignlessInteger(32))
    return MOE_ABI_I32;
  if (type.isSignlessInteger(64))
    return MOE_ABI_I64;
  if (type.isSignlessInteger(8) || type.isUnsignedInteger(8))
    return MOE_ABI_U8;
  return std::nullopt;
}

/// Why the runtime would not take `name`; nothing if it would.
static std::optional<StringRef> findNameFault(StringRef name) {
  if (name.empty())
    return StringRef("is empty");
  if (name.size() > kMaxNameBytes)
    return StringRef("is longer than 4096 bytes");
  auto *first = reinterpret_cast<const llvm::UTF8 *>(name.bytes_begin());
  if (name.contains('\0') ||
      !llvm::isLegalUTF8String(&first, first + name.size()))
    return StringRef("is not text");
  return std::nullopt;
}

static bool isWord(StringRef text) {
  return !text.empty() && !llvm::isDigit(text[0]) &&
         llvm::all_of(text,
                      [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

namespace {
/// Reads one module; every check emits its own error.
class InterfaceReader {
public:
  explicit InterfaceReader(ModuleOp module) : module(module) {}

  FailureOr<ModuleInterface> read();

private:
  LogicalResult readSymbols();
  LogicalResult readModuleAttributes();
  LogicalResult readFunction(func::FuncOp func);
  /// Name, type and shape of an argument or result. `what` is "argument 2".
  FailureOr<InterfaceArgument> readValue(func::FuncOp func, const Twine &what,
                                         Type type, DictionaryAttr attributes);
  LogicalResult readShape(func::FuncOp func, const Twine &what,
                          RankedTensorType type, ArrayAttr shape,
                          SmallVectorImpl<InterfaceSize> &sizes);
  LogicalResult readArgument(func::FuncOp func, unsigned number);
  LogicalResult readResults(func::FuncOp func);
  LogicalResult checkSizesAreGiven(func::FuncOp func);

  uint32_t symbolNumber(StringRef name) const {
    return llvm::find(result.symbols, name) - result.symbols.begin();
  }

  ModuleOp module;
  ModuleInterface result;
  /// Being filled.
  InterfaceFunction function;
};
} // namespace

FailureOr<ModuleInterface> InterfaceReader::read() {
  if (failed(readModuleAttributes()) || failed(readSymbols()))
    return failure();
  for (auto func : module.getOps<FunctionOpInterface>()) {
    if (!func.isPublic())
      continue;
    auto onTensors = dyn_cast<func::FuncOp>(*func);
    if (!onTensors) {
      func.emitError("public function must be a func.func, got ")
          << func->getName();
      return failure();
    }
    if (failed(readFunction(onTensors)))
      return failure();
  }
  if (result.functions.empty()) {
    module.emitError("module has no public function");
    return failure();
  }
  return std::move(result);
}

LogicalResult InterfaceReader::readModuleAttributes() {
  if (auto model = module->getAttrOfType<StringAttr>(MoEDialect::kModelAttr)) {
    if (std::optional<StringRef> fault = findNameFault(model.getValue()))
      return module.emitError("moe.model ") << *fault;
    result.model = model.getValue().str();
  }
  auto readSize = [&](StringRef name, int64_t &value) -> LogicalResult {
    auto attribute = module->getAttrOfType<IntegerAttr>(name);
    if (!attribute)
      return success();
    const APInt &number = attribute.getValue();
    if (number.getSignificantBits() > 64 || number.getSExtValue() < 0 ||
        number.getSExtValue() > kMaxModelSize)
      return module.emitError() << name << " must lie in [0, " << kMaxModelSize
                                << "], got " << attribute;
    value = number.getSExtValue();
    return success();
  };
  return failure(
      failed(readSize(MoEDialect::kMaxLengthAttr, result.maxLength)) ||
      failed(readSize(MoEDialect::kVocabSizeAttr, result.vocabSize)));
}

LogicalResult InterfaceReader::readSymbols() {
  FailureOr<llvm::SetVector<StringRef>> symbols = collectSymbols(module);
  if (failed(symbols))
    return failure();
  if (symbols->size() > kMaxSymbols)
    return module.emitError("moe.shape names ")
           << symbols->size() << " symbols, at most " << kMaxSymbols
           << " are possible";
  for (StringRef symbol : *symbols) {
    auto [left, right] = symbol.split('*');
    if (!isWord(left) || (left.size() != symbol.size() && !isWord(right)))
      return module.emitError("size '")
             << symbol << "' in moe.shape is neither a number, \"T\", \"2*T\" "
             << "nor \"B*S\"";
    result.symbols.push_back(symbol.str());
  }
  return success();
}

LogicalResult InterfaceReader::readFunction(func::FuncOp func) {
  function = InterfaceFunction();
  function.name = func.getName().str();
  if (std::optional<StringRef> fault = findNameFault(function.name))
    return func.emitError("name of a public function ") << *fault;
  // @f.full, @f.arena_size and @pack.0 are names of generated code.
  if (StringRef(function.name).contains('.'))
    return func.emitError("name of a public function must not contain '.'");
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    if (failed(readArgument(func, i)))
      return failure();
  if (failed(readResults(func)) || failed(checkSizesAreGiven(func)))
    return failure();
  if (function.arguments.size() > kMaxArguments)
    return func.emitError("has ")
           << function.arguments.size() << " arguments and results, at most "
           << kMaxArguments << " are possible";
  result.functions.push_back(std::move(function));
  return success();
}

LogicalResult
InterfaceReader::readShape(func::FuncOp func, const Twine &what,
                           RankedTensorType type, ArrayAttr shape,
                           SmallVectorImpl<InterfaceSize> &sizes) {
  if (shape.size() > MOE_ABI_MAX_RANK)
    return func.emitError()
           << what << " has rank " << shape.size() << ", at most "
           << MOE_ABI_MAX_RANK << " is possible";
  for (Attribute entry : shape) {
    FailureOr<SymbolicSize> size = parseSymbolicSize(entry);
    if (failed(size))
      return func.emitError()
             << what << " has the size " << entry << " in moe.shape";
    InterfaceSize converted;
    converted.value = size->value;
    if (!size->symbol.empty())
      converted.symbol = symbolNumber(size->symbol);
    if (converted.value < (converted.symbol ? 1 : 0))
      return func.emitError() << what << " has the size " << entry
                              << ", expected a positive multiple";
    sizes.push_back(converted);
  }
  // The first dimension of the type may stand for several sizes.
  auto mismatch = [&] {
    return func.emitError() << what << " is " << type
                            << ", which does not match moe.shape " << shape;
  };
  if (type.getRank() > int64_t(sizes.size()) ||
      (type.getRank() == 0 && !sizes.empty()))
    return mismatch();
  size_t merged = sizes.size() - type.getRank() + 1;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    if (type.isDynamicDim(i))
      continue;
    size_t first = i ? merged - 1 + i : 0, count = i ? 1 : merged;
    int64_t product = 1;
    for (InterfaceSize size : ArrayRef(sizes).slice(first, count))
      if (size.symbol || llvm::MulOverflow(product, size.value, product))
        return mismatch();
    if (product != type.getDimSize(i))
      return mismatch();
  }
  return success();
}

FailureOr<InterfaceArgument>
InterfaceReader::readValue(func::FuncOp func, const Twine &what, Type type,
                           DictionaryAttr attributes) {
  InterfaceArgument argument;
  auto name = attributes ? attributes.getAs<StringAttr>(MoEDialect::kNameAttr)
                         : StringAttr();
  if (!name) {
    func.emitError() << what << " of a public function needs moe.name";
    return failure();
  }
  if (std::optional<StringRef> fault = findNameFault(name.getValue())) {
    func.emitError() << what << ": moe.name " << *fault;
    return failure();
  }
  argument.name = name.getValue().str();
  auto tensor = dyn_cast<RankedTensorType>(type);
  std::optional<uint32_t> dtype =
      tensor ? getInterfaceType(tensor.getElementType()) : std::nullopt;
  if (!dtype) {
    func.emitError() << what << " of a public function must be a tensor of "
                     << "f32, f16, bf16, f64, i32, i64 or i8, got " << type;
    return failure();
  }
  argument.dtype = *dtype;
  auto shape = attributes.getAs<ArrayAttr>(MoEDialect::kShapeAttr);
  if (!shape) {
    func.emitError() << what << " of a public function needs moe.shape";
    return failure();
  }
  if (failed(readShape(func, what, tensor, shape, argument.shape)))
    return failure();
  return argument;
}

LogicalResult InterfaceReader::readArgument(func::FuncOp func,
                                            unsigned number) {
  DictionaryAttr attributes = func.getArgAttrDict(number);
  FailureOr<InterfaceArgument> argument =
      readValue(func, "argument " + Twine(number),
                func.getArgumentTypes()[number], attributes);
  if (failed(argument))
    return failure();
  bool isInteger = argument->dtype == MOE_ABI_I32 ||
                   argument->dtype == MOE_ABI_I64 ||
                   argument->dtype == MOE_ABI_U8;
  argument->role = MOE_ABI_INPUT;
  if (attributes.contains(MoEDialect::kStateAttr))
    argument->role = MOE_ABI_STATE;
  if (attributes.contains(MoEDialect::kLengthsAttr)) {
    if (argument->role == MOE_ABI_STATE)
      return func.emitError("argument ")
             << number << " is both moe.state and moe.lengths";
    argument->role = MOE_ABI_LENGTHS;
    if (argument->dtype != MOE_ABI_I64 || argument->shape.size() != 1 ||
        !argument->shape[0].symbol || argument->shape[0].value != 1 ||
        result.symbols[*argument->shape[0].symbol] != "B")
      return func.emitError("argument ")
             << number << ": moe.lengths must be i64 with moe.shape [\"B\"]";
  }
  if (auto limit = attributes.getAs<IntegerAttr>(MoEDialect::kLimitAttr)) {
    const APInt &value = limit.getValue();
    if (value.getSignificantBits() > 64 || value.getSExtValue() < 1)
      return func.emitError("argument ")
             << number << ": moe.limit must be at least 1, got " << limit;
    if (!isInteger || argument->role != MOE_ABI_INPUT)
      return func.emitError("argument ")
             << number << ": moe.limit is for integer inputs";
    argument->limit = value.getSExtValue();
  }
  for (InterfaceSize size : argument->shape) {
    if (!size.symbol)
      continue;
    StringRef symbol = result.symbols[*size.symbol];
    if (argument->role == MOE_ABI_STATE && symbol != "B" && symbol != "N")
      return func.emitError("argument ")
             << number << ": size '" << symbol
             << "' of a state is neither a number nor B nor N";
    if (symbol.contains('*'))
      return func.emitError("argument ")
             << number << ": the product '" << symbol
             << "' may only be the size of a result";
  }
  function.arguments.push_back(std::move(*argument));
  return success();
}

LogicalResult InterfaceReader::readResults(func::FuncOp func) {
  llvm::StringMap<uint32_t> inputs, outputs;
  for (auto [i, argument] : llvm::enumerate(function.arguments))
    if (!inputs.try_emplace(argument.name, i).second)
      return func.emitError("argument ") << i << ": moe.name '" << argument.name
                                         << "' is that of another argument";
  llvm::StringSet<> updated;
  // Result number and the name of its count.
  SmallVector<std::pair<uint32_t, StringRef>> counted;
  for (unsigned i = 0; i < func.getNumResults(); ++i) {
    DictionaryAttr attributes = func.getResultAttrDict(i);
    FailureOr<InterfaceArgument> value = readValue(
        func, "result " + Twine(i), func.getResultTypes()[i], attributes);
    if (failed(value))
      return failure();
    auto input = inputs.find(value->name);
    if (input != inputs.end()) {
      const InterfaceArgument &state = function.arguments[input->second];
      if (state.role != MOE_ABI_STATE)
        return func.emitError("result ")
               << i << ": moe.name '" << value->name
               << "' is that of an argument which is no moe.state";
      if (func.getArgumentTypes()[input->second] != func.getResultTypes()[i] ||
          func.getArgAttr(input->second, MoEDialect::kShapeAttr) !=
              attributes.get(MoEDialect::kShapeAttr))
        return func.emitError("result ")
               << i << ": the update of state '" << value->name
               << "' has another type or moe.shape";
      if (!updated.insert(value->name).second)
        return func.emitError("result ")
               << i << " updates state '" << value->name << "' again";
      continue;
    }
    bool optional = attributes.contains(MoEDialect::kOptionalAttr);
    value->role = optional ? MOE_ABI_OPTIONAL_OUTPUT : MOE_ABI_OUTPUT;
    function.hasOptional |= optional;
    uint32_t number = function.arguments.size();
    if (!outputs.try_emplace(value->name, number).second)
      return func.emitError("result ") << i << ": moe.name '" << value->name
                                       << "' is that of another result";
    if (auto count = attributes.getAs<StringAttr>(MoEDialect::kCountAttr))
      counted.push_back({number, count.getValue()});
    function.arguments.push_back(std::move(*value));
  }
  for (auto &[name, number] : inputs)
    if (function.arguments[number].role == MOE_ABI_STATE &&
        !updated.contains(name))
      return func.emitError("no result updates state '") << name << "'";
  for (auto [number, name] : counted) {
    InterfaceArgument &bounded = function.arguments[number];
    auto count = outputs.find(name);
    if (count == outputs.end() || count->second == number)
      return func.emitError("result '") << bounded.name << "': moe.count '"
                                        << name << "' is no other result";
    InterfaceArgument &target = function.arguments[count->second];
    if (target.dtype != MOE_ABI_I64 || target.shape.size() != 1 ||
        target.shape[0].symbol || target.shape[0].value != 1 ||
        target.countArgument)
      return func.emitError("result '")
             << name << "' is a count, so it must be i64 with moe.shape [1]";
    if (bounded.shape.empty() || bounded.role == MOE_ABI_COUNT)
      return func.emitError("result '")
             << bounded.name << "' has nothing to count";
    target.role = MOE_ABI_COUNT;
    bounded.countArgument = count->second;
  }
  return success();
}

LogicalResult InterfaceReader::checkSizesAreGiven(func::FuncOp func) {
  llvm::StringSet<> given;
  for (const InterfaceArgument &argument : function.arguments) {
    if (argument.role == MOE_ABI_STATE || argument.role == MOE_ABI_LENGTHS) {
      given.insert("B");
      given.insert("N");
    }
    if (argument.role == MOE_ABI_INPUT)
      for (InterfaceSize size : argument.shape)
        if (size.symbol)
          given.insert(result.symbols[*size.symbol]);
  }
  for (const InterfaceArgument &argument : function.arguments)
    for (InterfaceSize size : argument.shape) {
      if (!size.symbol)
        continue;
      StringRef symbol = result.symbols[*size.symbol];
      auto [left, right] = symbol.split('*');
      for (StringRef factor : {left, right})
        if (!factor.empty() && !given.contains(factor))
          return func.emitError("'") << argument.name << "' has the size '"
                                     << symbol << "', which no input gives";
    }
  return success();
}

FailureOr<ModuleInterface> moe::buildModuleInterface(ModuleOp module) {
  return InterfaceReader(module).read();
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// "bf16[128x768x2048]".
static std::string formatType(RankedTensorType type) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << type.getElementType() << '[';
  llvm::interleave(type.getShape(), os, "x");
  os << ']';
  return text;
}

/// Fails on a tensor without a size in bytes that the runtime takes.
static FailureOr<uint64_t> getSizeInBytes(RankedTensorType type) {
  if (!type.hasStaticShape() || !getInterfaceType(type.getElementType()))
    return failure();
  int64_t size = type.getElementTypeBitWidth() / 8;
  // A zero anywhere makes the product zero, whatever the others are.
  if (llvm::is_contained(type.getShape(), 0))
    return uint64_t(0);
  for (int64_t dim : type.getShape())
    if (llvm::MulOverflow(size, dim, size) || size > kMaxParameterBytes)
      return failure();
  return uint64_t(size);
}

static FailureOr<ParameterLayout> readLayout(ModuleOp module,
                                             DictionaryAttr entry) {
  auto name = entry ? entry.getAs<StringAttr>("name") : StringAttr();
  auto typeAttr = entry ? entry.getAs<TypeAttr>("type") : TypeAttr();
  auto type = typeAttr ? dyn_cast<RankedTensorType>(typeAttr.getValue())
                       : RankedTensorType();
  auto sources = entry ? entry.getAs<ArrayAttr>("sources") : ArrayAttr();
  if (!name || !type || !sources || sources.empty()) {
    module.emitError("moe.params has an entry without name, type or sources");
    return failure();
  }
  ParameterLayout layout;
  layout.name = name.getValue().str();
  layout.sources = sources;
  if (std::optional<StringRef> fault = findNameFault(layout.name)) {
    module.emitError("name of a parameter ") << *fault;
    return failure();
  }
  auto fail = [&] {
    return module.emitError("parameter '") << name.getValue() << "': ";
  };
  FailureOr<uint64_t> size = getSizeInBytes(type);
  if (failed(size)) {
    fail() << type << " has no size in bytes that is possible";
    return failure();
  }
  layout.sizeBytes = *size;
  uint64_t sourceBytes = 0;
  for (Attribute attribute : sources) {
    auto source = dyn_cast<SourceAttr>(attribute);
    if (!source) {
      fail() << attribute << " is not a #moe.source";
      return failure();
    }
    FailureOr<uint64_t> bytes = getSizeInBytes(source.getType());
    if (failed(bytes) || source.getType().getRank() > MOE_ABI_MAX_RANK ||
        source.getFirst() < 0 || source.getCount() < 0 ||
        source.getFirst() > UINT32_MAX - source.getCount() ||
        source.getPart() < 0 || source.getPart() > UINT32_MAX) {
      fail() << "source \"" << source.getTensor() << "\" is "
             << source.getType() << ", which is more than is possible";
      return failure();
    }
    if (std::optional<StringRef> fault = findNameFault(source.getTensor())) {
      fail() << "name of a source " << *fault;
      return failure();
    }
    sourceBytes += *bytes;
    if (sourceBytes > uint64_t(kMaxParameterBytes)) {
      fail() << "sources are more than " << kMaxParameterBytes << " bytes";
      return failure();
    }
  }
  if (auto pack = entry.getAs<StringAttr>("pack"))
    layout.pack = pack.getValue().str();
  else if (sourceBytes != layout.sizeBytes) {
    fail() << "has " << layout.sizeBytes << " bytes and no pack function, but "
           << sourceBytes << " bytes of sources";
    return failure();
  }
  llvm::raw_string_ostream os(layout.layout);
  if (auto panels = entry.getAs<PanelsAttr>("panels"))
    os << "panels<columns = " << panels.getColumns()
       << ", parts = " << panels.getParts() << ", lanes = " << panels.getLanes()
       << ", vectors = " << panels.getVectors() << "> ";
  else
    os << (layout.pack.empty() ? "plain " : "packed ");
  os << formatType(type);
  return layout;
}

FailureOr<std::vector<ParameterLayout>>
moe::readParameterLayouts(ModuleOp module) {
  std::vector<ParameterLayout> layouts;
  auto params = module->getAttrOfType<ArrayAttr>(MoEDialect::kParamsAttr);
  if (!params)
    return layouts;
  llvm::StringSet<> names;
  for (Attribute entry : params) {
    FailureOr<ParameterLayout> layout =
        readLayout(module, dyn_cast<DictionaryAttr>(entry));
    if (failed(layout))
      return failure();
    if (!names.insert(layout->name).second) {
      module.emitError("moe.params has two parameters '")
          << layout->name << "'";
      return failure();
    }
    layouts.push_back(std::move(*layout));
  }
  return layouts;
}
