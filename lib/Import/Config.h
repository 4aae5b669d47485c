//===- Config.h - Typed reading of config.json ------------------*- C++ -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#ifndef MOE_LIB_IMPORT_CONFIG_H
#define MOE_LIB_IMPORT_CONFIG_H
#include "json.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include <memory>
#include <optional>
#include <string>

namespace mlir::moe {

/// Untrusted text for a message: control characters escaped, cut if long.
std::string quote(StringRef text);
/// The same for a path, which keeps its end.
std::string quotePath(StringRef path);
/// A value for a message: `5`, `"silu"`, `an array of 3 values`.
std::string describe(const moe_json *value);

/// A config.json in memory.
class ConfigFile {
public:
  /// Fails with `error` unless `path` is one JSON object.
  static std::optional<ConfigFile> open(const std::string &path,
                                        std::string &error);
  const moe_json *getRoot() const { return moe_json_root(document.get()); }
  StringRef getPath() const { return path; }

private:
  struct Free {
    void operator()(moe_json_document *document) const {
      moe_json_free(document);
    }
  };
  std::unique_ptr<moe_json_document, Free> document;
  std::string path;
};

/// One object of a config.json. A field that is null counts as absent. The
/// first failure is kept in `error`; afterwards, readers return defaults.
class ConfigObject {
public:
  /// `object` may be NULL: nothing is there. `prefix` stands before the keys in
  /// messages ("router."). A flag, string, list or object of the wrong type
  /// breaks rule `typeRule`.
  ConfigObject(const moe_json *object, StringRef file, const Twine &prefix,
               std::string &error, StringRef typeRule = {})
      : object(object), file(file), prefix(prefix.str()), error(error),
        typeRule(typeRule) {}

  bool failed() const { return !error.empty(); }
  bool isPresent() const { return object != nullptr; }
  /// The value of a field; NULL if it is absent or null.
  const moe_json *find(StringRef key);
  bool has(StringRef key) { return find(key) != nullptr; }

  /// "FILE: RULE: 'PREFIXKEY' is FOUND, expected WANTED".
  void fail(StringRef key, const Twine &wanted, StringRef rule = {});
  /// "FILE: RULE: 'PREFIXKEY' TEXT", for relations between fields.
  void failText(StringRef key, const Twine &text, StringRef rule = {});

  /// A whole number in [min, max]; the default where the field is absent, or a
  /// failure if there is none.
  int64_t integer(StringRef key, int64_t min, int64_t max,
                  std::optional<int64_t> otherwise, StringRef rule = {});
  double number(StringRef key, double otherwise, StringRef rule = {});
  bool flag(StringRef key, bool otherwise);
  StringRef string(StringRef key, StringRef otherwise);
  /// One of `words`; `otherwise` is the default.
  StringRef word(StringRef key, ArrayRef<StringRef> words, StringRef otherwise);
  /// A nested object, not present if the field is absent.
  ConfigObject child(StringRef key);
  /// An array, NULL if the field is absent.
  const moe_json *array(StringRef key);

  /// Fails on a field that no reader above asked for.
  void refuseOthers(StringRef rule);

  /// Whether a reader asked for this field.
  bool wasAsked(StringRef key) const { return asked.contains(key); }

  StringRef getFile() const { return file; }
  std::string &getError() { return error; }
  const moe_json *getJson() const { return object; }

private:
  void missing(StringRef key, const Twine &wanted, StringRef rule);

  const moe_json *object;
  StringRef file;
  std::string prefix;
  std::string &error;
  StringRef typeRule;
  llvm::StringSet<> asked;
};

} // namespace mlir::moe
#endif // MOE_LIB_IMPORT_CONFIG_H
