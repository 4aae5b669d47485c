//===- Config.cpp - Typed reading of config.json --------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Config.h"
#include "moe/Import/Limits.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

std::string moe::quote(StringRef text) {
  moe_quoted quoted;
  return moe_quote(&quoted, text.data(), text.size(), /*keep_end=*/false);
}

std::string moe::quotePath(StringRef path) {
  moe_quoted quoted;
  return moe_quote(&quoted, path.data(), path.size(), /*keep_end=*/true);
}

std::string moe::describe(const moe_json *value) {
  std::string text;
  llvm::raw_string_ostream os(text);
  switch (value->kind) {
  case MOE_JSON_NULL:
    os << "null";
    break;
  case MOE_JSON_BOOL:
    os << (value->flags ? "true" : "false");
    break;
  case MOE_JSON_NUMBER: {
    int64_t whole;
    double real = 0;
    if (moe_json_is_integer(value) && moe_json_int64(value, &whole)) {
      os << whole;
    } else {
      moe_json_double(value, &real);
      os << llvm::format("%g", real);
    }
    break;
  }
  case MOE_JSON_STRING: {
    const char *bytes = "";
    size_t size = 0;
    moe_json_string(value, &bytes, &size);
    os << '"' << quote(StringRef(bytes, size)) << '"';
    break;
  }
  case MOE_JSON_ARRAY:
    os << "an array of " << moe_json_size(value) << " values";
    break;
  case MOE_JSON_OBJECT:
    os << "an object";
    break;
  }
  return text;
}

std::optional<ConfigFile> ConfigFile::open(const std::string &path,
                                           std::string &error) {
  moe_json_document *document = nullptr;
  moe_error reason = {};
  if (moe_json_read(path.c_str(), kMaxConfigBytes, &document, &reason)) {
    error = reason.text;
    return std::nullopt;
  }
  ConfigFile file;
  file.document.reset(document);
  file.path = quotePath(path);
  if (!moe_json_is(file.getRoot(), MOE_JSON_OBJECT)) {
    error =
        file.path + ": is " + describe(file.getRoot()) + ", expected an object";
    return std::nullopt;
  }
  return file;
}

const moe_json *ConfigObject::find(StringRef key) {
  asked.insert(key);
  const moe_json *value = moe_json_find_n(object, key.data(), key.size());
  return value && !moe_json_is(value, MOE_JSON_NULL) ? value : nullptr;
}

void ConfigObject::failText(StringRef key, const Twine &text, StringRef rule) {
  if (failed())
    return;
  error = file.str() + ": ";
  if (!rule.empty())
    error += rule.str() + ": ";
  error += "'" + quote(prefix + key.str()) + "' " + text.str();
}

void ConfigObject::fail(StringRef key, const Twine &wanted, StringRef rule) {
  const moe_json *value = find(key);
  if (!value)
    return missing(key, wanted, rule);
  failText(key, "is " + describe(value) + ", expected " + wanted, rule);
}

void ConfigObject::missing(StringRef key, const Twine &wanted, StringRef rule) {
  failText(key, "is missing, expected " + wanted, rule);
}

int64_t ConfigObject::integer(StringRef key, int64_t min, int64_t max,
                              std::optional<int64_t> otherwise,
                              StringRef rule) {
  std::string wanted = "a whole number from " + std::to_string(min) + " to " +
                       std::to_string(max);
  const moe_json *value = find(key);
  if (!value) {
    if (!otherwise)
      missing(key, wanted, rule);
    return otherwise.value_or(min);
  }
  int64_t result;
  if (!moe_json_is_integer(value) || !moe_json_int64(value, &result) ||
      result < min || result > max) {
    fail(key, wanted, rule);
    return min;
  }
  return result;
}

double ConfigObject::number(StringRef key, double otherwise, StringRef rule) {
  const moe_json *value = find(key);
  double result = otherwise;
  if (value && !moe_json_double(value, &result))
    fail(key, "a number", rule);
  return result;
}

bool ConfigObject::flag(StringRef key, bool otherwise) {
  const moe_json *value = find(key);
  bool result = otherwise;
  if (value && !moe_json_bool(value, &result))
    fail(key, "true or false", typeRule);
  return result;
}

StringRef ConfigObject::string(StringRef key, StringRef otherwise) {
  const moe_json *value = find(key);
  const char *bytes;
  size_t size;
  if (!value)
    return otherwise;
  if (!moe_json_string(value, &bytes, &size)) {
    fail(key, "a string", typeRule);
    return otherwise;
  }
  return StringRef(bytes, size);
}

StringRef ConfigObject::word(StringRef key, ArrayRef<StringRef> words,
                             StringRef otherwise) {
  StringRef result = string(key, otherwise);
  if (failed() || llvm::is_contained(words, result))
    return result;
  fail(key, llvm::join(words, ", "), typeRule);
  return otherwise;
}

ConfigObject ConfigObject::child(StringRef key) {
  const moe_json *value = find(key);
  if (value && !moe_json_is(value, MOE_JSON_OBJECT)) {
    fail(key, "an object", typeRule);
    value = nullptr;
  }
  return ConfigObject(value, file, prefix + key + ".", error, typeRule);
}

const moe_json *ConfigObject::array(StringRef key) {
  const moe_json *value = find(key);
  if (!value || moe_json_is(value, MOE_JSON_ARRAY))
    return value;
  fail(key, "an array", typeRule);
  return nullptr;
}

void ConfigObject::refuseOthers(StringRef rule) {
  for (size_t i = 0, n = moe_json_size(object); i < n; ++i) {
    const moe_json_member *member = moe_json_member_at(object, i);
    StringRef key(member->key, member->key_size);
    if (asked.contains(key))
      continue;
    StringRef near;
    unsigned best = 4;
    // Sorted: the hint must not depend on the order of a hash table.
    SmallVector<StringRef> known(asked.keys());
    llvm::sort(known);
    for (StringRef candidate : known) {
      unsigned distance = key.edit_distance(candidate, true, best);
      if (distance < best) {
        best = distance;
        near = candidate;
      }
    }
    failText(key,
             "is not a field of this format" +
                 (near.empty() ? std::string()
                               : "; nearest is '" + prefix + near.str() + "'"),
             rule);
    return;
  }
}
