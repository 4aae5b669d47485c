//===- Manifest.cpp - The note of a compiled library ----------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Manifest.h"
#include "moe/Dialect/MoE/IR/MoE.h"
#include "moe/Target/Compile.h"
#include "moe_abi.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/SHA256.h"
#include <cstring>

using namespace mlir;
using namespace mlir::moe;

static_assert(llvm::endianness::native == llvm::endianness::little,
              "structs are written as they lie in memory");

namespace {
/// Puts tables and strings behind the header.
class Writer {
public:
  Writer() { bytes.resize(sizeof(moe_abi_manifest)); }

  template <typename T> moe_abi_table addTable(ArrayRef<T> elements) {
    bytes.resize(llvm::alignTo(bytes.size(), 8));
    moe_abi_table table = {uint32_t(bytes.size()), uint32_t(elements.size())};
    bytes.append(reinterpret_cast<const char *>(elements.data()),
                 elements.size() * sizeof(T));
    return table;
  }

  /// Before the first table. Equal strings share their bytes.
  moe_abi_string addString(StringRef text) {
    auto [entry, isNew] = offsets.try_emplace(text, bytes.size());
    if (isNew)
      bytes += text;
    return {entry->second, uint32_t(text.size())};
  }

  /// For an image: aligned, and alone. A NUL follows.
  moe_abi_string addImage(ArrayRef<char> image) {
    bytes.resize(llvm::alignTo(bytes.size(), 16));
    moe_abi_string place = {uint32_t(bytes.size()), uint32_t(image.size())};
    bytes.append(image.begin(), image.end());
    bytes += '\0';
    return place;
  }

  std::string bytes;

private:
  llvm::StringMap<uint32_t> offsets;
};
} // namespace

static moe_abi_argument convert(const InterfaceArgument &argument, Writer &w) {
  moe_abi_argument result = {};
  result.name = w.addString(argument.name);
  result.role = argument.role;
  result.dtype = argument.dtype;
  result.rank = argument.shape.size();
  result.count_argument = argument.countArgument.value_or(MOE_ABI_NONE);
  result.limit = argument.limit;
  for (auto [i, size] : llvm::enumerate(argument.shape)) {
    result.extents[i].symbol = size.symbol.value_or(MOE_ABI_NONE);
    result.extents[i].value = size.value;
  }
  return result;
}

static moe_abi_source convert(SourceAttr source, Writer &w) {
  moe_abi_source result = {};
  result.tensor = w.addString(source.getTensor());
  result.dtype = *getInterfaceType(source.getType().getElementType());
  result.rank = source.getType().getRank();
  for (auto [i, size] : llvm::enumerate(source.getType().getShape()))
    result.extents[i] = size;
  result.first = source.getFirst();
  result.count = source.getCount();
  result.part = source.getPart();
  return result;
}

namespace {
/// The table of parameters and that of their sources.
struct ParamTables {
  /// One entry for each parameter of `levels`, which agree on names and
  /// sources: those of the CPU, or a device alone.
  void add(ArrayRef<LevelManifest> levels, Writer &w) {
    if (levels.empty())
      return;
    for (auto [i, layout] : llvm::enumerate(levels.front().params)) {
      moe_abi_param entry = {};
      entry.name = w.addString(layout.name);
      entry.first_source = sources.size();
      entry.num_sources = layout.sources.size();
      entry.pack[0] = entry.pack[1] = MOE_ABI_NONE;
      for (const LevelManifest &level : levels)
        for (unsigned place : {0, 1}) {
          if (level.level == 4 - place) // the other CPU level
            continue;
          entry.layout[place] = w.addString(level.params[i].layout);
          entry.size[place] = level.params[i].sizeBytes;
          entry.pack[place] = level.pack[i];
        }
      params.push_back(entry);
      for (auto source : layout.sources.getAsRange<SourceAttr>())
        sources.push_back(convert(source, w));
    }
  }

  std::vector<moe_abi_param> params;
  std::vector<moe_abi_source> sources;
};

/// The tables that say what runs on a device.
struct DeviceTables {
  void add(const DeviceManifest &device, uint32_t firstParam,
           uint32_t numParams, Writer &w) {
    const DeviceFacts &facts = getDevice(device.host.level);
    moe_abi_device entry = {};
    entry.name = w.addString(facts.name);
    entry.level = facts.level;
    entry.exact = facts.exact;
    entry.first_param = firstParam;
    entry.num_params = numParams;
    entry.first_kernel = kernels.size();
    entry.num_kernels = device.kernels.size();
    for (const Kernel &kernel : device.kernels)
      kernels.push_back(convert(kernel, w));
    entry.first_image = images.size();
    if (!device.cubin.empty())
      images.push_back({MOE_ABI_IMAGE_CUBIN, 0, w.addImage(device.cubin)});
    images.push_back({MOE_ABI_IMAGE_PTX, 0, w.addImage(device.ptx)});
    entry.num_images = images.size() - entry.first_image;
    devices.push_back(entry);
  }

  static moe_abi_kernel convert(const Kernel &kernel, Writer &w) {
    moe_abi_kernel entry = {};
    entry.name = w.addString(kernel.name);
    entry.num_arguments = kernel.numArguments;
    llvm::copy(kernel.block, entry.block);
    llvm::copy(kernel.cluster, entry.cluster);
    entry.static_shared = kernel.staticShared;
    entry.dynamic_shared = kernel.dynamicShared;
    entry.registers = kernel.registers;
    entry.resident_blocks = kernel.residentBlocks;
    if (kernel.overlaps)
      entry.flags |= MOE_ABI_KERNEL_OVERLAPS;
    if (kernel.unordered)
      entry.flags |= MOE_ABI_KERNEL_UNORDERED;
    return entry;
  }

  std::vector<moe_abi_device> devices;
  std::vector<moe_abi_kernel> kernels;
  std::vector<moe_abi_image> images;
};
} // namespace

std::string moe::buildManifest(const ModuleInterface &interface,
                               ArrayRef<FunctionCode> code,
                               ArrayRef<LevelManifest> levels,
                               ArrayRef<DeviceManifest> devices) {
  // Strings lie right behind the header, so that their places are known when
  // they are met; tables follow.
  Writer w;
  moe_abi_manifest header = {};
  header.magic = MOE_ABI_MAGIC;
  header.abi_major = MOE_ABI_MAJOR;
  header.abi_minor = MOE_ABI_MINOR;
  header.target = w.addString("x86_64-unknown-linux-gnu");
  header.compiler = w.addString(getCompilerVersion());
  header.model = w.addString(interface.model);
  header.max_length = interface.maxLength;
  header.vocab_size = interface.vocabSize;
  for (const LevelManifest &level : levels)
    header.levels |= 1u << (level.level - 3);

  std::vector<moe_abi_symbol> symbols;
  for (const std::string &symbol : interface.symbols)
    symbols.push_back({w.addString(symbol)});
  std::vector<moe_abi_function> functions;
  std::vector<moe_abi_argument> arguments;
  for (auto [function, place] : llvm::zip_equal(interface.functions, code)) {
    moe_abi_function entry = {};
    entry.name = w.addString(function.name);
    entry.first_argument = arguments.size();
    entry.num_arguments = function.arguments.size();
    entry.code = place.code;
    entry.code_full = place.full;
    entry.arena = place.arena;
    entry.arena_full = place.arenaFull;
    functions.push_back(entry);
    for (const InterfaceArgument &argument : function.arguments)
      arguments.push_back(convert(argument, w));
  }
  ParamTables params;
  params.add(levels, w);
  header.num_cpu_params = params.params.size();
  DeviceTables deviceTables;
  for (const DeviceManifest &device : devices) {
    uint32_t first = params.params.size();
    params.add(device.host, w);
    deviceTables.add(device, first, params.params.size() - first, w);
  }

  header.symbols = w.addTable(ArrayRef(symbols));
  header.functions = w.addTable(ArrayRef(functions));
  header.arguments = w.addTable(ArrayRef(arguments));
  header.params = w.addTable(ArrayRef(params.params));
  header.sources = w.addTable(ArrayRef(params.sources));
  header.devices = w.addTable(ArrayRef(deviceTables.devices));
  header.kernels = w.addTable(ArrayRef(deviceTables.kernels));
  header.images = w.addTable(ArrayRef(deviceTables.images));
  header.manifest_size = w.bytes.size();
  memcpy(w.bytes.data(), &header, sizeof(header));
  return std::move(w.bytes);
}

/// The descriptor of our note in a linked file.
static llvm::Expected<ArrayRef<uint8_t>> findNote(ArrayRef<char> file) {
  auto elf = llvm::object::ELF64LEFile::create({file.data(), file.size()});
  if (!elf)
    return elf.takeError();
  auto headers = elf->program_headers();
  if (!headers)
    return headers.takeError();
  for (const auto &header : *headers) {
    if (header.p_type != llvm::ELF::PT_NOTE)
      continue;
    llvm::Error error = llvm::Error::success();
    for (const auto &note : elf->notes(header, error))
      if (note.getName() == MOE_ABI_NOTE_OWNER &&
          note.getType() == MOE_ABI_NOTE_TYPE &&
          note.getDesc(/*Align=*/4).size() >= sizeof(moe_abi_manifest)) {
        llvm::consumeError(std::move(error));
        return note.getDesc(/*Align=*/4);
      }
    if (error)
      return std::move(error);
  }
  return llvm::createStringError("linked file has no manifest");
}

llvm::Error moe::sealManifest(MutableArrayRef<char> file) {
  llvm::Expected<ArrayRef<uint8_t>> note = findNote(file);
  if (!note)
    return note.takeError();
  const char *descriptor = reinterpret_cast<const char *>(note->data());
  char *start = file.data() + (descriptor - file.data());
  uint64_t size = file.size();
  auto digest = llvm::SHA256::hash(
      {reinterpret_cast<const uint8_t *>(file.data()), file.size()});
  memcpy(start + offsetof(moe_abi_manifest, file_size), &size, sizeof(size));
  memcpy(start + offsetof(moe_abi_manifest, sha256), digest.data(),
         digest.size());
  return llvm::Error::success();
}
