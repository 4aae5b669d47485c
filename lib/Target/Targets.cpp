//===- Targets.cpp - Names of CPUs and GPUs -------------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "PTX.h"
#include "moe/Target/Compile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::createStringError;
using llvm::Error;

/// What x86-64-v3 and x86-64-v4 add to the level below, as LLVM names it.
static constexpr StringLiteral kLevel3Features[] = {
    "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"};
static constexpr StringLiteral kLevel4Features[] = {
    "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};

static CPULevel getGenericLevel(unsigned level) {
  return {level, "x86-64-v" + llvm::utostr(level), /*features=*/"",
          /*tile=*/level};
}

/// This machine's CPU; nothing if it is less than x86-64-v3.
static std::optional<CPULevel> getHostLevel() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  auto hasAll = [&](ArrayRef<StringLiteral> names) {
    return llvm::all_of(names,
                        [&](StringRef name) { return features.lookup(name); });
  };
  if (!hasAll(kLevel3Features))
    return std::nullopt;
  CPULevel host;
  host.level = host.tile = hasAll(kLevel4Features) ? 4 : 3;
  host.cpu = llvm::sys::getHostCPUName().str();
  // A virtual machine may have less than the CPU of that name.
  SmallVector<std::string> list;
  for (auto &[name, present] : features)
    list.push_back((present ? "+" : "-") + name.str());
  llvm::sort(list, [](StringRef a, StringRef b) {
    return a.drop_front() < b.drop_front();
  });
  host.features = llvm::join(list, ",");
  return host;
}

bool moe::isHostSupported() { return getHostLevel().has_value(); }

static Error addLevel(const CPULevel &added,
                      SmallVectorImpl<CPULevel> &levels) {
  auto *place = llvm::find_if(
      levels, [&](CPULevel &level) { return level.level >= added.level; });
  if (place == levels.end() || place->level != added.level) {
    levels.insert(place, added);
    return Error::success();
  }
  if (place->cpu == added.cpu)
    return Error::success();
  return createStringError("'" + place->cpu + "' and '" + added.cpu +
                           "' are both code of level x86-64-v" +
                           Twine(added.level) + ", only one fits in a file");
}

static void addDevice(const DeviceFacts &facts,
                      SmallVectorImpl<Device> &devices) {
  auto *place = llvm::find_if(
      devices, [&](Device &device) { return device.level >= facts.level; });
  if (place == devices.end() || place->level != facts.level)
    devices.insert(place, {facts.level, facts.name.str()});
}

Error moe::addTarget(StringRef name, CompileOptions &options) {
  if (name == "cpu") {
    for (unsigned level : {3, 4})
      if (Error error = addLevel(getGenericLevel(level), options.levels))
        return error;
    return Error::success();
  }
  for (unsigned level : {3, 4})
    if (name == "cpu:x86-64-v" + llvm::utostr(level))
      return addLevel(getGenericLevel(level), options.levels);
  if (name == "cpu:host") {
    std::optional<CPULevel> host = getHostLevel();
    if (!host)
      return createStringError("this CPU is less than x86-64-v3");
    return addLevel(*host, options.levels);
  }
  std::string known;
  for (const DeviceFacts &facts : getDevices()) {
    std::string target = ("cuda:" + facts.name).str();
    if (name == target) {
      addDevice(facts, options.devices);
      return Error::success();
    }
    known += (known.empty() ? "" : " or ") + target;
  }
  return createStringError("no target '" + name +
                           "', expected cpu, cpu:host, cpu:x86-64-v3, "
                           "cpu:x86-64-v4, " +
                           known);
}
