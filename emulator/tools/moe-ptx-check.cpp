//===- moe-ptx-check.cpp - Runs a kernel and looks for mistakes -----------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include "TensorMap.h"
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/stat.h>
#include <unistd.h>

using namespace moe::emu;

namespace {
enum ExitCode { kDone = 0, kBadInput = 1, kBadUsage = 2, kLacking = 4 };

constexpr uint64_t kMaxText = 64u << 20, kMaxFile = 1u << 30,
                   kMaxMemory = 4ull << 30;

struct Argument {
  enum { Scalar, In, InOut, Out, Zero, Map } kind = Scalar;
  std::string text; // as given
  std::string file;
  unsigned bytes = 0; // scalars
  uint64_t value = 0; // scalars
  uint64_t size = 0;  // buffers
  std::vector<uint8_t> initial;
  // Tensor maps.
  uint32_t buffer = 0;
  unsigned dataType = 0, swizzle = 0;
  std::vector<uint64_t> dims, strides;
  std::vector<uint32_t> box;
};

struct Options {
  std::string file, kernel;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  bool hasBlock = false;
  uint32_t shared = 0;
  std::vector<Argument> arguments;
  uint32_t schedules = 1, threads = 1;
  uint64_t seed = 0, budget = 1'000'000'000;
  bool json = false, parseOnly = false, list = false, allowUndefined = false;
};

/// Bytes of one run's buffers that the user gets or that are compared.
struct Result {
  std::vector<std::vector<uint8_t>> data, shadow;
};
} // namespace

static const char *const help =
    "usage: moe-ptx-check FILE.ptx --kernel=NAME --block=X[,Y,Z] [OPTION...]\n"
    "       moe-ptx-check FILE.ptx --list | --parse-only\n"
    "\n"
    "Runs a CUDA kernel given as PTX text on an emulator: no GPU is needed.\n"
    "Whatever a GPU would do silently wrong is an error that names the block,\n"
    "the lane and the line: accesses out of bounds, misaligned or of memory\n"
    "that nothing wrote, races with copies in flight, barriers that not all\n"
    "reach, deadlocks, and results that depend on the schedule.\n"
    "\n"
    "Example: 100 floats times 2.5 (kernel scale(float *x, float f, u32 n)):\n"
    "  moe-ptx-check scale.ptx --kernel=scale --grid=1 --block=128 \\\n"
    "    --arg=inout:x.bin --arg=f32:2.5 --arg=u32:100 --schedules=10\n"
    "\n"
    "What to run:\n"
    "  --kernel=NAME        the kernel; needed where the file has several\n"
    "  --grid=X[,Y,Z]       blocks, 1 by default\n"
    "  --block=X[,Y,Z]      threads of a block; .reqntid by default\n"
    "  --shared=BYTES       dynamic shared memory, 0 by default\n"
    "  --arg=VALUE          the next parameter, in order:\n"
    "                         u32:5 s32:-5 u64:5 s64:-5 f32:1.5 f64:1.5\n"
    "                         u8: s8: u16: s16: likewise\n"
    "                         in:FILE         a buffer with the file's bytes\n"
    "                         inout:FILE      the same, written back\n"
    "                         out:FILE:SIZE   SIZE bytes that nothing wrote,\n"
    "                                         written to FILE at the end\n"
    "                         zero:SIZE       SIZE zero bytes\n"
    "                         map:N,TYPE,dims=D:..,strides=S:..,box=B:..\n"
    "                           [,swizzle=0|32|64|128]\n"
    "                                         a tensor map on buffer argument\n"
    "                                         N (the first is 0), innermost\n"
    "                                         first; strides in bytes, one\n"
    "                                         less than dims; TYPE is u8 u16\n"
    "                                         u32 s32 u64 s64 f16 f32 f64 "
    "bf16\n"
    "  --allow-undefined    bytes of out: that nothing wrote are zeros, not "
    "an\n"
    "                       error\n"
    "\n"
    "How to run it:\n"
    "  --schedules=N        run N times, each with another random order of\n"
    "                       warps; the results must be the same (default 1)\n"
    "  --seed=S             of the first schedule, 0 by default\n"
    "  --budget=N           warp instructions of a block until it counts as\n"
    "                       endless, 1000000000 by default\n"
    "  --threads=N          blocks at a time, 1 by default\n"
    "\n"
    "What to print:\n"
    "  --json               statistics and what was found, on standard output\n"
    "  --list               the kernels, their parameters and block sizes\n"
    "  --parse-only         read the text and stop\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 done; 1 bad input, or a mistake of the kernel; 2 wrong\n"
    "command line; 4 no memory.\n";

static int fail(const std::string &text, int code = kBadInput) {
  fprintf(stderr, "error: %s\n", text.c_str());
  return code;
}

//===----------------------------------------------------------------------===//
// Numbers and files
//===----------------------------------------------------------------------===//

static bool parseUnsigned(const std::string &text, uint64_t most,
                          uint64_t &value) {
  if (text.empty() || text[0] < '0' || text[0] > '9')
    return false;
  errno = 0;
  char *end = nullptr;
  value = strtoull(text.c_str(), &end, 0);
  return !errno && !*end && value <= most;
}

template <class T>
static bool parseList(const std::string &text, char separator, uint64_t most,
                      std::vector<T> &out) {
  for (size_t at = 0;;) {
    size_t end = text.find(separator, at);
    uint64_t value = 0;
    if (!parseUnsigned(text.substr(at, end - at), most, value) ||
        out.size() == 8)
      return false;
    out.push_back(T(value));
    if (end == std::string::npos)
      return true;
    at = end + 1;
  }
}

static bool parseShape(const std::string &text, uint32_t *shape) {
  std::vector<uint32_t> values;
  if (!parseList(text, ',', 0xffffffff, values) || values.size() > 3)
    return false;
  for (unsigned n = 0; n < 3; ++n)
    shape[n] = n < values.size() ? values[n] : 1;
  return true;
}

static bool readFile(const std::string &path, uint64_t most, std::string &out,
                     std::string &error) {
  FILE *f = fopen(path.c_str(), "rb");
  if (!f) {
    error = path + ": " + strerror(errno);
    return false;
  }
  struct stat info;
  bool good = fstat(fileno(f), &info) == 0 && S_ISREG(info.st_mode);
  if (!good) {
    error = path + ": is no file";
  } else if (uint64_t(info.st_size) > most) {
    error = path + ": has " + std::to_string(info.st_size) +
            " bytes, expected at most " + std::to_string(most);
    good = false;
  } else {
    out.resize(size_t(info.st_size));
    size_t got = out.empty() ? 0 : fread(&out[0], 1, out.size(), f);
    if (got != out.size()) {
      error = path + ": only " + std::to_string(got) + " of " +
              std::to_string(out.size()) + " bytes could be read";
      good = false;
    }
  }
  fclose(f);
  return good;
}

/// Written beside and renamed: whole or not there.
static bool writeFile(const std::string &path, const std::vector<uint8_t> &data,
                      std::string &error) {
  std::string beside = path + ".tmp" + std::to_string(getpid());
  FILE *f = fopen(beside.c_str(), "wb");
  bool good = f && fwrite(data.data(), 1, data.size(), f) == data.size();
  if (f && fclose(f) != 0)
    good = false;
  if (good && rename(beside.c_str(), path.c_str()) != 0)
    good = false;
  if (!good) {
    error = path + ": " + strerror(errno);
    if (f)
      remove(beside.c_str());
  }
  return good;
}

//===----------------------------------------------------------------------===//
// The command line
//===----------------------------------------------------------------------===//

static bool parseScalar(const std::string &type, const std::string &text,
                        Argument &a, std::string &error) {
  unsigned bits = unsigned(atoi(type.c_str() + 1));
  a.bytes = bits / 8;
  char *end = nullptr;
  errno = 0;
  bool good = !text.empty() && text[0] != ' ';
  if (type[0] == 'f' && good) {
    if (bits == 32) {
      float value = strtof(text.c_str(), &end);
      memcpy(&a.value, &value, sizeof value);
    } else {
      double value = strtod(text.c_str(), &end);
      memcpy(&a.value, &value, sizeof value);
    }
    good = !*end;
  } else if (type[0] == 's' && good) {
    int64_t value = strtoll(text.c_str(), &end, 0);
    int64_t high = int64_t((uint64_t(1) << (bits - 1)) - 1);
    good = !*end && !errno && value <= high && value >= -high - 1;
    a.value = uint64_t(value);
  } else if (good) {
    good = parseUnsigned(
        text, bits == 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1, a.value);
  }
  if (!good)
    error = "'" + text + "' is no " + type;
  return good;
}

static bool parseMap(const std::string &text, Argument &a, std::string &error) {
  // The numbers of CUtensorMapDataType.
  static const char *const types[] = {"u8",  "u16", "u32", "s32", "u64",
                                      "s64", "f16", "f32", "f64", "bf16"};
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  uint64_t number = 0;
  if (!parseUnsigned(parts[0], 1000, number)) {
    error = "expected the number of an argument, found '" + parts[0] + "'";
    return false;
  }
  a.buffer = uint32_t(number);
  bool hasType = false;
  for (unsigned n = 0; parts.size() > 1 && n < 10; ++n)
    if (parts[1] == types[n])
      a.dataType = n, hasType = true;
  if (!hasType) {
    error = "expected the type of the elements behind '" + parts[0] + ",'";
    return false;
  }
  for (size_t n = 2; n < parts.size(); ++n) {
    const std::string &part = parts[n];
    size_t equals = part.find('=');
    std::string key = part.substr(0, equals),
                value =
                    equals == std::string::npos ? "" : part.substr(equals + 1);
    bool good = false;
    if (key == "dims" && a.dims.empty())
      good = parseList(value, ':', 1ull << 32, a.dims);
    else if (key == "strides" && a.strides.empty())
      good = parseList(value, ':', 1ull << 40, a.strides);
    else if (key == "box" && a.box.empty())
      good = parseList(value, ':', 256, a.box);
    else if (key == "swizzle") {
      good = true;
      if (value == "0")
        a.swizzle = 0;
      else if (value == "32" || value == "64" || value == "128")
        a.swizzle = value == "32" ? 1 : value == "64" ? 2 : 3;
      else
        good = false;
    }
    if (!good) {
      error = "'" + part + "' is not understood";
      return false;
    }
  }
  size_t rank = a.dims.size();
  if (rank < 1 || rank > 5 || a.box.size() != rank ||
      a.strides.size() != rank - 1) {
    error = "expected 1 to 5 dims, as many of box and one less of strides, "
            "found " +
            std::to_string(rank) + ", " + std::to_string(a.box.size()) +
            " and " + std::to_string(a.strides.size());
    return false;
  }
  return true;
}

static bool parseArgument(const std::string &text, Argument &a,
                          std::string &error) {
  a.text = text;
  size_t colon = text.find(':');
  std::string kind = text.substr(0, colon);
  std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  for (const char *type :
       {"u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"})
    if (kind == type)
      return parseScalar(kind, rest, a, error);
  if (kind == "map") {
    a.kind = Argument::Map;
    return parseMap(rest, a, error);
  }
  std::string size;
  if (kind == "in" || kind == "inout") {
    a.kind = kind == "in" ? Argument::In : Argument::InOut;
    a.file = rest;
  } else if (kind == "out") {
    a.kind = Argument::Out;
    size_t last = rest.rfind(':');
    a.file = rest.substr(0, last);
    size = last == std::string::npos ? "" : rest.substr(last + 1);
  } else if (kind == "zero") {
    a.kind = Argument::Zero;
    size = rest;
  } else {
    error = "expected TYPE:VALUE, in:FILE, inout:FILE, out:FILE:SIZE, "
            "zero:SIZE or map:...";
    return false;
  }
  if (a.kind != Argument::Zero && a.file.empty()) {
    error = "names no file";
    return false;
  }
  if (a.kind == Argument::Out || a.kind == Argument::Zero)
    if (!parseUnsigned(size, kMaxFile, a.size) || a.size == 0) {
      error = "the size is '" + size + "', expected 1 to " +
              std::to_string(kMaxFile) + " bytes";
      return false;
    }
  return true;
}

/// False and what is wrong in `error`.
static bool parseCommandLine(int argc, char **argv, Options &o,
                             std::string &error) {
  for (int n = 1; n < argc; ++n) {
    std::string word = argv[n];
    if (word[0] != '-' || word == "-") {
      if (!o.file.empty()) {
        error = "unexpected '" + word + "', one file is checked at a time";
        return false;
      }
      o.file = word;
      continue;
    }
    size_t equals = word.find('=');
    std::string name = word.substr(0, equals), value;
    if (name == "--json" || name == "--parse-only" || name == "--list" ||
        name == "--allow-undefined") {
      if (equals != std::string::npos) {
        error = name + " takes no value";
        return false;
      }
      (name == "--json"         ? o.json
       : name == "--parse-only" ? o.parseOnly
       : name == "--list"       ? o.list
                                : o.allowUndefined) = true;
      continue;
    }
    static const char *const valued[] = {"--kernel", "--grid",   "--block",
                                         "--shared", "--arg",    "--schedules",
                                         "--seed",   "--budget", "--threads"};
    bool known = false;
    for (const char *flag : valued)
      known |= name == flag;
    if (!known) {
      error = "unknown option '" + word + "', see moe-ptx-check --help";
      return false;
    }
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (n + 1 < argc) {
      value = argv[++n];
    } else {
      error = name + " needs a value";
      return false;
    }
    bool good = true;
    uint64_t number = 0;
    if (name == "--kernel") {
      o.kernel = value;
    } else if (name == "--grid") {
      good = parseShape(value, o.grid);
    } else if (name == "--block") {
      good = o.hasBlock = parseShape(value, o.block);
    } else if (name == "--arg") {
      Argument a;
      std::string why;
      if (!parseArgument(value, a, why)) {
        error = "--arg=" + value + ": " + why;
        return false;
      }
      o.arguments.push_back(std::move(a));
    } else {
      uint64_t most = name == "--shared"      ? 1u << 20
                      : name == "--schedules" ? 1000000
                      : name == "--threads"   ? 256
                                              : ~uint64_t(0);
      good = parseUnsigned(value, most, number);
      if (name == "--shared")
        o.shared = uint32_t(number);
      else if (name == "--seed")
        o.seed = number;
      else if (good && number == 0)
        good = false;
      else if (name == "--schedules")
        o.schedules = uint32_t(number);
      else if (name == "--budget")
        o.budget = number;
      else
        o.threads = uint32_t(number);
    }
    if (!good) {
      error = name + " is '" + value + "', expected " +
              (name == "--grid" || name == "--block"
                   ? "X, X,Y or X,Y,Z"
                   : "a number within its limits");
      return false;
    }
  }
  if (o.file.empty()) {
    error = "no PTX file, see moe-ptx-check --help";
    return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

static void printJsonText(const std::string &text) {
  putchar('"');
  for (unsigned char c : text)
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20 || c >= 0x7f)
      printf("\\u%04x", c);
    else
      putchar(c);
  putchar('"');
}

static void printList(const Program &program, bool json) {
  if (json)
    printf("{\"target\": \"%s\", \"kernels\": [", program.target.c_str());
  for (const auto &kernel : program.kernels) {
    const Kernel &k = *kernel;
    if (json) {
      printf("%s\n  {\"name\": ", kernel == program.kernels[0] ? "" : ",");
      printJsonText(k.name);
      printf(", \"parameters\": [");
      for (size_t n = 0; n < k.params.size(); ++n) {
        printf("%s{\"name\": ", n ? ", " : "");
        printJsonText(k.params[n].name);
        printf(", \"bytes\": %u}", k.params[n].size);
      }
      printf("], \"reqntid\": [%u, %u, %u], \"shared\": %u, \"instructions\": "
             "%zu}",
             k.reqntid[0], k.reqntid[1], k.reqntid[2], k.staticShared,
             k.code.size());
      continue;
    }
    printf("%s: %zu instructions, %u bytes of shared memory%s", k.name.c_str(),
           k.code.size(), k.staticShared,
           k.usesDynamicShared ? " and dynamic" : "");
    if (k.reqntid[0])
      printf(", block %u,%u,%u", k.reqntid[0], k.reqntid[1], k.reqntid[2]);
    else if (k.maxntid[0])
      printf(", block at most %u,%u,%u", k.maxntid[0], k.maxntid[1],
             k.maxntid[2]);
    printf("\n");
    for (size_t n = 0; n < k.params.size(); ++n)
      printf("  %zu: %s, %u bytes\n", n, k.params[n].name.c_str(),
             k.params[n].size);
  }
  if (json)
    printf("\n]}\n");
}

static bool isBuffer(const Argument &a) {
  return a.kind != Argument::Scalar && a.kind != Argument::Map;
}

/// Fills parameters and memory for one run.
static bool prepare(const Options &o, GlobalMemory &memory, Launch &launch,
                    std::vector<uint64_t> &addresses, std::string &error) {
  const Kernel &k = *launch.kernel;
  launch.params.assign(k.paramBytes, 0);
  addresses.assign(o.arguments.size(), 0);
  for (size_t n = 0; n < o.arguments.size(); ++n) {
    const Argument &a = o.arguments[n];
    if (!isBuffer(a))
      continue;
    addresses[n] = memory.allocate(a.size);
    Allocation *room =
        addresses[n] ? memory.find(addresses[n], a.size) : nullptr;
    if (!room) {
      error = "the buffers are larger than " + std::to_string(kMaxMemory) +
              " bytes";
      return false;
    }
    if (!a.initial.empty())
      memcpy(room->data.data(), a.initial.data(), a.initial.size());
    if (a.kind != Argument::Out)
      memset(room->shadow.data(), Initialized, room->shadow.size());
  }
  for (size_t n = 0; n < o.arguments.size(); ++n) {
    const Argument &a = o.arguments[n];
    uint8_t *place = launch.params.data() + k.params[n].offset;
    if (a.kind == Argument::Scalar) {
      memcpy(place, &a.value, a.bytes);
    } else if (isBuffer(a)) {
      memcpy(place, &addresses[n], 8);
    } else {
      alignas(64) uint8_t map[TensorMap::encodedBytes];
      const uint32_t ones[5] = {1, 1, 1, 1, 1};
      std::string why;
      if (encodeTensorMap(map, a.dataType, unsigned(a.dims.size()),
                          addresses[a.buffer], a.dims.data(), a.strides.data(),
                          a.box.data(), ones, 0, a.swizzle, 0, 0,
                          why) != EncodeStatus::Ok) {
        error = "--arg=" + a.text + ": " + why;
        return false;
      }
      memcpy(place, map, sizeof map);
    }
  }
  return true;
}

static bool checkArguments(const Options &o, const Kernel &k,
                           std::string &error) {
  if (o.arguments.size() != k.params.size()) {
    error = "kernel '" + k.name + "' has " + std::to_string(k.params.size()) +
            " parameters, " + std::to_string(o.arguments.size()) +
            " arguments are given";
    return false;
  }
  for (size_t n = 0; n < o.arguments.size(); ++n) {
    const Argument &a = o.arguments[n];
    unsigned bytes = a.kind == Argument::Scalar ? a.bytes
                     : a.kind == Argument::Map  ? TensorMap::encodedBytes
                                                : 8;
    if (bytes != k.params[n].size) {
      error = "--arg=" + a.text + " has " + std::to_string(bytes) +
              " bytes, but parameter " + std::to_string(n) + " of kernel '" +
              k.name + "' has " + std::to_string(k.params[n].size);
      return false;
    }
    if (a.kind == Argument::Map &&
        (a.buffer >= o.arguments.size() || !isBuffer(o.arguments[a.buffer]))) {
      error = "--arg=" + a.text + ": argument " + std::to_string(a.buffer) +
              " is no buffer";
      return false;
    }
  }
  return true;
}

/// What differs between two runs, or "".
static std::string compare(const Options &o, const Result &a, const Result &b) {
  for (size_t n = 0; n < a.data.size(); ++n)
    for (size_t at = 0; at < a.data[n].size(); ++at) {
      bool defined = a.shadow[n][at] & Initialized;
      if (defined != bool(b.shadow[n][at] & Initialized))
        return "byte " + std::to_string(at) +
               " of --arg=" + o.arguments[n].text +
               " is written in only one of them";
      if (defined && a.data[n][at] != b.data[n][at])
        return "byte " + std::to_string(at) +
               " of --arg=" + o.arguments[n].text + " is " +
               std::to_string(a.data[n][at]) + " and " +
               std::to_string(b.data[n][at]);
    }
  return "";
}

static void printStatistics(const Options &o, const Program &program,
                            const std::string &kernel,
                            const Statistics &statistics, uint32_t runs,
                            const std::string &found) {
  if (o.json) {
    printf("{\"file\": ");
    printJsonText(o.file);
    printf(", \"kernel\": ");
    printJsonText(kernel);
    printf(", \"target\": \"%s\", \"schedules\": %u, \"instructions\": %llu, "
           "\"lane_instructions\": %llu, \"shared_passes\": %llu, "
           "\"bank_conflicts\": %llu, \"faults\": [",
           program.target.c_str(), runs,
           (unsigned long long)statistics.warpInstructions,
           (unsigned long long)statistics.laneInstructions,
           (unsigned long long)statistics.sharedPasses,
           (unsigned long long)statistics.bankConflicts);
    if (!found.empty())
      printJsonText(found);
    printf("]}\n");
  } else if (found.empty()) {
    printf("%s: %u %s, %llu instructions of warps, %llu of lanes, %llu passes "
           "over shared memory, %llu of them bank conflicts\n",
           kernel.c_str(), runs, runs == 1 ? "schedule" : "schedules",
           (unsigned long long)statistics.warpInstructions,
           (unsigned long long)statistics.laneInstructions,
           (unsigned long long)statistics.sharedPasses,
           (unsigned long long)statistics.bankConflicts);
  }
}

static int check(Options &o) {
  std::string error, text;
  if (!readFile(o.file, kMaxText, text, error))
    return fail(error);
  std::unique_ptr<Program> program =
      parseProgram(text.data(), text.size(), error);
  if (!program)
    return fail(o.file + ": " + error);
  if (o.list) {
    printList(*program, o.json);
    return kDone;
  }
  if (o.parseOnly) {
    printf("%s: %s, %zu %s\n", o.file.c_str(), program->target.c_str(),
           program->kernels.size(),
           program->kernels.size() == 1 ? "kernel" : "kernels");
    return kDone;
  }
  if (o.kernel.empty() && program->kernels.size() != 1)
    return fail(o.file + " has " + std::to_string(program->kernels.size()) +
                    " kernels, expected --kernel=NAME",
                program->kernels.empty() ? kBadInput : kBadUsage);
  Launch launch;
  launch.kernel =
      o.kernel.empty() ? program->kernels[0].get() : program->find(o.kernel);
  if (!launch.kernel)
    return fail(o.file + ": no kernel '" + o.kernel + "', see --list");
  launch.program = program.get();
  const Kernel &k = *launch.kernel;
  for (unsigned n = 0; n < 3; ++n) {
    launch.grid[n] = o.grid[n];
    launch.block[n] = o.hasBlock ? o.block[n] : k.reqntid[n];
  }
  if (!launch.block[0])
    return fail("no block size, expected --block=X[,Y,Z]", kBadUsage);
  launch.dynamicShared = o.shared;
  launch.budget = o.budget;
  launch.threads = o.threads;
  if (!checkArguments(o, k, error))
    return fail(error);
  launch.params.resize(k.paramBytes);
  if (!checkLaunch(launch, error))
    return fail(error);
  for (Argument &a : o.arguments) {
    if (a.kind != Argument::In && a.kind != Argument::InOut)
      continue;
    std::string bytes;
    if (!readFile(a.file, kMaxFile, bytes, error))
      return fail(error);
    if (bytes.empty())
      return fail(a.file + ": is empty");
    a.initial.assign(bytes.begin(), bytes.end());
    a.size = a.initial.size();
  }

  Statistics statistics;
  Result first;
  for (uint32_t run = 0; run < o.schedules; ++run) {
    GlobalMemory memory(kMaxMemory);
    launch.memory = &memory;
    launch.seed = o.seed + run;
    std::vector<uint64_t> addresses;
    if (!prepare(o, memory, launch, addresses, error) ||
        !placeVariables(*program, memory, error))
      return fail(o.file + ": " + error);
    std::string report;
    bool good = runLaunch(launch, statistics, report);
    Result result;
    for (size_t n = 0; good && n < o.arguments.size(); ++n) {
      const Argument &a = o.arguments[n];
      result.data.emplace_back();
      result.shadow.emplace_back();
      if (a.kind != Argument::Out && a.kind != Argument::InOut)
        continue;
      Allocation *room = memory.find(addresses[n], a.size);
      for (size_t at = 0; good && at < a.size; ++at)
        if (!(room->shadow[at] & Initialized) && !o.allowUndefined) {
          report = "kernel " + k.name + ": byte " + std::to_string(at) +
                   " of --arg=" + a.text + " is never written";
          good = false;
        }
      result.data.back() = std::move(room->data);
      result.shadow.back() = std::move(room->shadow);
    }
    if (good && run > 0) {
      std::string what = compare(o, first, result);
      if (!what.empty()) {
        report = "kernel " + k.name +
                 ": the results of --seed=" + std::to_string(o.seed) +
                 " and --seed=" + std::to_string(launch.seed) +
                 " differ: " + what;
        good = false;
      }
    }
    if (!good) {
      if (o.schedules > 1)
        report += "\n    schedule of --seed=" + std::to_string(launch.seed);
      printStatistics(o, *program, k.name, statistics, run + 1, report);
      return fail(o.file + ": " + report);
    }
    if (run == 0)
      first = std::move(result);
  }
  for (size_t n = 0; n < o.arguments.size(); ++n)
    if (isBuffer(o.arguments[n]) && !first.data[n].empty() &&
        !writeFile(o.arguments[n].file, first.data[n], error))
      return fail(error);
  printStatistics(o, *program, k.name, statistics, o.schedules, "");
  return kDone;
}

int main(int argc, char **argv) {
  std::set_new_handler([] {
    fputs("error: no memory\n", stderr);
    _exit(kLacking);
  });
  for (int n = 1; n < argc; ++n) {
    if (strcmp(argv[n], "--help") == 0 || strcmp(argv[n], "-h") == 0) {
      fputs(help, stdout);
      return kDone;
    }
    if (strcmp(argv[n], "--version") == 0) {
      printf("moe-ptx-check " MOE_VERSION " (commit " MOE_COMMIT ")\n");
      return kDone;
    }
  }
  Options options;
  std::string error;
  if (!parseCommandLine(argc, argv, options, error))
    return fail(error, kBadUsage);
  int code = check(options);
  if (fflush(stdout) != 0)
    return fail("cannot write to standard output");
  return code;
}
