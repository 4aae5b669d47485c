//===- Parser.cpp - From PTX text to instructions -------------------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "Machine.h"
#include <cstdlib>
#include <cstring>

using namespace moe::emu;

// Limits of a program, far above what compilers write.
static constexpr size_t kMaxText = 32u << 20, kMaxRegisters = 1u << 16,
                        kMaxInstructions = 1u << 20, kMaxOperands = 1024;
static constexpr uint64_t kMaxVariable = 1u << 28, kMaxInitial = 64u << 20;

static std::unordered_map<std::string, Decode> &opcodes() {
  static std::unordered_map<std::string, Decode> table;
  return table;
}
void moe::emu::registerOpcode(const char *name, Decode decode) {
  opcodes()[name] = decode;
}
Decode moe::emu::findOpcode(const std::string &name) {
  static std::once_flag once;
  std::call_once(once, [] {
    registerScalarOpcodes();
    registerMemoryOpcodes();
    registerMatrixOpcodes();
    registerAsyncOpcodes();
  });
  auto found = opcodes().find(name);
  return found == opcodes().end() ? nullptr : found->second;
}

bool moe::emu::parseType(const std::string &text, Type &type) {
  static const struct {
    const char *name;
    Type type;
  } types[] = {
      {"pred", {Kind::Pred, 1, 1}}, {"b8", {Kind::B, 8, 1}},
      {"b16", {Kind::B, 16, 1}},    {"b32", {Kind::B, 32, 1}},
      {"b64", {Kind::B, 64, 1}},    {"b128", {Kind::B, 128, 1}},
      {"u8", {Kind::U, 8, 1}},      {"u16", {Kind::U, 16, 1}},
      {"u32", {Kind::U, 32, 1}},    {"u64", {Kind::U, 64, 1}},
      {"s8", {Kind::S, 8, 1}},      {"s16", {Kind::S, 16, 1}},
      {"s32", {Kind::S, 32, 1}},    {"s64", {Kind::S, 64, 1}},
      {"f16", {Kind::F, 16, 1}},    {"f16x2", {Kind::F, 16, 2}},
      {"bf16", {Kind::BF, 16, 1}},  {"bf16x2", {Kind::BF, 16, 2}},
      {"f32", {Kind::F, 32, 1}},    {"f64", {Kind::F, 64, 1}},
  };
  for (const auto &entry : types)
    if (text == entry.name) {
      type = entry.type;
      return true;
    }
  return false;
}

Kernel *Program::find(const std::string &name) const {
  for (const auto &kernel : kernels)
    if (kernel->name == name)
      return kernel.get();
  return nullptr;
}

namespace {
struct Token {
  enum { End, Word, Number, Float, Punctuation, String } kind = End;
  std::string text;
  uint64_t value = 0; // numbers; bits of floats
  bool isDouble = false;
  uint32_t line = 0;
};

class Parser {
public:
  Parser(const char *text, size_t size, std::string &error)
      : at(text), end(text + size), error(error),
        program(std::make_unique<Program>()) {}

  std::unique_ptr<Program> run();

private:
  bool fail(const std::string &text, uint32_t where = 0) {
    if (error.empty())
      error =
          "line " + std::to_string(where ? where : token.line) + ": " + text;
    return false;
  }
  bool next();
  bool is(const char *text) const {
    return token.kind != Token::String && token.text == text;
  }
  bool expect(const char *text) {
    if (!is(text))
      return fail(std::string("expected '") + text + "', found '" + token.text +
                  "'");
    return next();
  }
  bool number(uint64_t &value) {
    if (token.kind != Token::Number)
      return fail("expected a number, found '" + token.text + "'");
    value = token.value;
    return next();
  }
  bool skipTo(const char *text);
  bool directive();
  bool variable(Space space, bool isExternal, Kernel *kernel);
  bool entry();
  bool body();
  bool statement();
  bool registers();
  bool instruction();
  bool operand(std::vector<Operand> &out, uint64_t &count, Type type);
  bool address(Address &result);
  bool immediate(uint64_t bits, Operand &out);
  bool namedOperand(const std::string &name, Operand &out);
  bool finishKernel();

  const char *at, *end;
  uint32_t line = 1;
  std::string &error;
  Token token;
  std::unique_ptr<Program> program;
  Kernel *kernel = nullptr;
  /// A name of the kernel; `%r<count>` declares as many numbered ones.
  struct Name {
    Operand operand;
    uint64_t count = 0; // 0: the name itself
    uint32_t depth = 0; // braces around it
  };
  bool declare(const std::string &name, const Name &value);
  const Name *lookUp(const std::string &name, uint64_t &number) const;

  std::unordered_map<std::string, Name> names, ranges;
  /// What declarations in inner braces have hidden, to be undone.
  struct Hidden {
    bool isRange;
    std::string name;
    Name before;
    bool wasThere;
  };
  std::vector<Hidden> hidden;
  std::vector<size_t> scopes; // sizes of `hidden` at the braces
  std::unordered_map<std::string, uint32_t> variables;
  std::unordered_map<std::string, uint32_t> labels;
  struct LabelUse {
    uint32_t instruction;
    std::string name;
    uint32_t line, block;
  };
  std::vector<LabelUse> labelUses;
  /// Labels are local to their braces: `name` in block 5 is "name 5".
  std::vector<uint32_t> blockParents;
  uint32_t currentBlock = 0;
  std::unordered_map<uint64_t, uint32_t> constants;
  size_t numInstructions = 0;
  uint64_t initialBytes = 0;
};
} // namespace

static bool isWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '$' || c == '%' || c == '.';
}
static bool isWord(char c) { return isWordStart(c) || (c >= '0' && c <= '9'); }

bool Parser::next() {
  for (;;) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' ||
                        *at == '\n' || *at == '\f')) {
      line += *at == '\n';
      ++at;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
      while (at < end && *at != '\n')
        ++at;
      continue;
    }
    if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
      at += 2;
      while (end - at >= 2 && !(at[0] == '*' && at[1] == '/')) {
        line += *at == '\n';
        ++at;
      }
      if (end - at < 2) {
        token.line = line;
        return fail("a comment does not end");
      }
      at += 2;
      continue;
    }
    break;
  }
  token = Token();
  token.line = line;
  if (at >= end)
    return true;
  const char *start = at;
  char c = *at;
  if (c == '"') {
    ++at;
    while (at < end && *at != '"' && *at != '\n')
      ++at;
    if (at >= end || *at != '"')
      return fail("a string does not end");
    ++at;
    token.kind = Token::String;
    token.text.assign(start + 1, at - 1);
    return true;
  }
  if (c >= '0' && c <= '9') {
    // 0fXXXXXXXX and 0dXXXXXXXXXXXXXXXX are the bits of floats.
    while (at < end &&
           ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
            (*at >= 'A' && *at <= 'Z')))
      ++at;
    token.text.assign(start, at);
    std::string &t = token.text;
    char *stop = nullptr;
    if (t.size() > 2 && t[0] == '0' &&
        (t[1] == 'f' || t[1] == 'F' || t[1] == 'd' || t[1] == 'D')) {
      bool isDouble = t[1] == 'd' || t[1] == 'D';
      token.kind = Token::Float;
      token.isDouble = isDouble;
      token.value = std::strtoull(t.c_str() + 2, &stop, 16);
      if (*stop || t.size() != (isDouble ? 18u : 10u))
        return fail("no such number: '" + t + "'");
      return true;
    }
    token.kind = Token::Number;
    if (t.back() == 'U')
      t.pop_back();
    if (t.size() > 20)
      return fail("no such number: '" + t + "'");
    if (t.size() > 2 && t[0] == '0' && (t[1] == 'b' || t[1] == 'B'))
      token.value = std::strtoull(t.c_str() + 2, &stop, 2);
    else
      token.value = std::strtoull(t.c_str(), &stop, 0);
    if (*stop)
      return fail("no such number: '" + t + "'");
    return true;
  }
  if (isWordStart(c)) {
    ++at;
    while (at < end && isWord(*at))
      ++at;
    // mbarrier::complete_tx::bytes and the like.
    while (end - at > 2 && at[0] == ':' && at[1] == ':' && isWord(at[2])) {
      at += 2;
      while (at < end && isWord(*at))
        ++at;
    }
    if (at - start > 1024)
      return fail("a name is too long");
    token.kind = Token::Word;
    token.text.assign(start, at);
    return true;
  }
  ++at;
  token.kind = Token::Punctuation;
  token.text.assign(1, c);
  if (c < ' ' || c > '~')
    return fail("a character that PTX does not know");
  return true;
}

bool Parser::skipTo(const char *text) {
  while (token.kind != Token::End && !is(text))
    if (!next())
      return false;
  return expect(text);
}

std::unique_ptr<Program> Parser::run() {
  if (size_t(end - at) > kMaxText) {
    error = "line 1: the text is longer than 32 MiB";
    return nullptr;
  }
  program->text.assign(at, end);
  program->lineStarts.push_back(0);
  for (const char *p = at; p < end; ++p)
    if (*p == '\n')
      program->lineStarts.push_back(uint32_t(p - at) + 1);
  if (!next())
    return nullptr;
  while (token.kind != Token::End)
    if (!directive())
      return nullptr;
  if (program->target.empty()) {
    fail("no .target");
    return nullptr;
  }
  return std::move(program);
}

bool Parser::directive() {
  if (is(".version")) {
    if (!next())
      return false;
    // "8.0" is the number 8 and the word ".0".
    uint64_t major = 0;
    if (!number(major))
      return false;
    program->version = unsigned(major) * 10;
    if (major > 99 || token.kind != Token::Word || token.text.size() != 2 ||
        token.text[0] != '.' || token.text[1] < '0' || token.text[1] > '9')
      return fail("no such version");
    program->version += unsigned(token.text[1] - '0');
    return next();
  }
  if (is(".target")) {
    if (!next())
      return false;
    program->target = token.text;
    if (token.text.compare(0, 3, "sm_") != 0)
      return fail("no such target: '" + token.text + "'");
    program->arch = unsigned(std::strtoul(token.text.c_str() + 3, nullptr, 10));
    if (program->arch != 80 && program->arch != 90)
      return fail("the target is '" + token.text +
                  "', but only sm_80, sm_90 and sm_90a are emulated");
    if (!next())
      return false;
    while (is(","))
      if (!next() || !next())
        return false;
    return true;
  }
  if (is(".address_size")) {
    uint64_t bits = 0;
    if (!next() || !number(bits))
      return false;
    return bits == 64 || fail("only 64-bit addresses are emulated");
  }
  if (is(".file")) {
    uint32_t here = token.line;
    while (token.kind != Token::End && token.line == here)
      if (!next())
        return false;
    return true;
  }
  if (is(".section")) // debug information
    return skipTo("{") && skipTo("}");
  if (is(".visible") || is(".weak") || is(".common") || is(".internal"))
    return next();
  bool isExternal = is(".extern");
  if (isExternal && !next())
    return false;
  if (is(".global"))
    return next() && variable(Space::Global, isExternal, nullptr);
  if (is(".const"))
    return next() && variable(Space::Const, isExternal, nullptr);
  if (is(".shared"))
    return next() && variable(Space::Shared, isExternal, nullptr);
  if (is(".entry") && !isExternal)
    return next() && entry();
  if (is(".func"))
    return fail("functions that are called are not emulated");
  return fail("'" + token.text + "' is not understood here");
}

bool Parser::variable(Space space, bool isExternal, Kernel *owner) {
  Variable v;
  v.space = space;
  v.isExternal = isExternal;
  Type type;
  bool hasType = false;
  while (token.kind == Token::Word && token.text[0] == '.') {
    if (is(".align")) {
      if (!next() || !number(v.alignment))
        return false;
      if (v.alignment == 0 || v.alignment > 65536 ||
          (v.alignment & (v.alignment - 1)))
        return fail("an alignment must be a power of two up to 65536");
      continue;
    }
    if (!parseType(token.text.substr(1), type) || type.kind == Kind::Pred)
      return fail("'" + token.text + "' is not understood in a declaration");
    hasType = true;
    if (!next())
      return false;
  }
  if (!hasType)
    return fail("a variable needs a type");
  if (token.kind != Token::Word)
    return fail("expected a name, found '" + token.text + "'");
  v.name = token.text;
  if (!next())
    return false;
  uint64_t count = 1;
  if (is("[")) {
    if (!next())
      return false;
    count = 0;
    if (token.kind == Token::Number && !number(count))
      return false;
    if (!expect("]"))
      return false;
  }
  if (type.bytes() && count > kMaxVariable / type.bytes())
    return fail("'" + v.name + "' is too large");
  if (type.bytes() == 0 || type.bits == 128)
    return fail("a variable of this type is not emulated");
  v.size = count * type.bytes();
  if (v.alignment < type.bytes())
    v.alignment = type.bytes();
  if (is("=")) {
    if (space == Space::Shared || space == Space::Local)
      return fail("'" + v.name + "' cannot have an initial value");
    if (!next())
      return false;
    bool braced = is("{");
    if (braced && !next())
      return false;
    while (!is("}")) {
      bool negative = is("-");
      if (negative && !next())
        return false;
      if (token.kind != Token::Number && token.kind != Token::Float)
        return fail("expected a number, found '" + token.text + "'");
      uint64_t value = negative ? 0 - token.value : token.value;
      for (unsigned i = 0; i < type.bytes(); ++i)
        v.initial.push_back(uint8_t(value >> (8 * i)));
      if (v.initial.size() > v.size)
        return fail("'" + v.name + "' has more values than places");
      if (!next())
        return false;
      if (!braced)
        break;
      if (!is("}") && !expect(","))
        return false;
    }
    if (braced && !expect("}"))
      return false;
    initialBytes += v.initial.size();
    if (initialBytes > kMaxInitial)
      return fail("the initial values are larger than 64 MiB");
  }
  if (!expect(";"))
    return false;
  uint32_t index = uint32_t(program->variables.size());
  Operand symbol;
  symbol.kind = Operand::Symbol;
  symbol.index = index;
  if (owner) {
    if (!declare(v.name, {symbol, 0, uint32_t(scopes.size())}))
      return fail("'" + v.name + "' is declared twice");
    if (space == Space::Local) {
      uint64_t offset =
          (owner->localBytes + v.alignment - 1) & ~(v.alignment - 1);
      if (offset + v.size > (512u << 10))
        return fail("more than 512 KiB of local memory");
      owner->localOffsets[index] = offset;
      owner->localBytes = uint32_t(offset + v.size);
    }
  } else if (!variables.emplace(v.name, index).second) {
    return fail("'" + v.name + "' is declared twice");
  }
  program->variables.push_back(std::move(v));
  return true;
}

bool Parser::entry() {
  if (token.kind != Token::Word)
    return fail("expected the kernel's name, found '" + token.text + "'");
  auto made = std::make_unique<Kernel>();
  kernel = made.get();
  kernel->name = token.text;
  if (program->find(kernel->name))
    return fail("kernel '" + kernel->name + "' is declared twice");
  program->kernels.push_back(std::move(made));
  names.clear();
  ranges.clear();
  hidden.clear();
  labels.clear();
  labelUses.clear();
  blockParents.assign(1, 0);
  currentBlock = 0;
  constants.clear();
  scopes.clear();
  if (!next())
    return false;
  if (is("(")) {
    if (!next())
      return false;
    while (!is(")")) {
      if (!expect(".param"))
        return false;
      Parameter p;
      Type type;
      uint64_t alignment = 0;
      bool hasType = false;
      while (token.kind == Token::Word && token.text[0] == '.') {
        if (is(".align")) {
          if (!next() || !number(alignment))
            return false;
          continue;
        }
        if (is(".ptr") || is(".global") || is(".shared") || is(".const") ||
            is(".local")) {
          // What a pointer points to; its alignment is no promise of ours.
          if (!next())
            return false;
          if (is(".align") && hasType) {
            uint64_t ignored = 0;
            if (!next() || !number(ignored))
              return false;
          }
          continue;
        }
        if (!parseType(token.text.substr(1), type) || type.kind == Kind::Pred ||
            type.bits == 128)
          return fail("'" + token.text + "' is not understood in a parameter");
        hasType = true;
        if (!next())
          return false;
      }
      if (!hasType || token.kind != Token::Word)
        return fail("a parameter needs a type and a name");
      p.name = token.text;
      if (!next())
        return false;
      uint64_t count = 1;
      if (is("[")) {
        if (!next() || !number(count) || !expect("]"))
          return false;
      }
      if (count > 4096)
        return fail("a parameter is too large");
      p.size = uint32_t(count * type.bytes());
      p.alignment = uint32_t(alignment ? alignment : type.bytes());
      if (p.alignment == 0 || p.alignment > 256 ||
          (p.alignment & (p.alignment - 1)))
        return fail("an alignment must be a power of two up to 256");
      p.offset = (kernel->paramBytes + p.alignment - 1) & ~(p.alignment - 1);
      kernel->paramBytes = p.offset + p.size;
      if (kernel->paramBytes > 32764)
        return fail("the parameters are too large");
      Operand symbol;
      symbol.kind = Operand::Symbol;
      // Parameters count from the end, so that they are no variables.
      symbol.index = ~uint32_t(kernel->params.size());
      if (!declare(p.name, {symbol, 0, 0}))
        return fail("'" + p.name + "' is declared twice");
      kernel->params.push_back(p);
      if (!is(")") && !expect(","))
        return false;
    }
    if (!next())
      return false;
  }
  while (!is("{")) {
    uint32_t *place = is(".reqntid")             ? kernel->reqntid
                      : is(".maxntid")           ? kernel->maxntid
                      : is(".reqnctapercluster") ? kernel->cluster
                                                 : nullptr;
    if (!place && !is(".minnctapersm") && !is(".maxnreg") &&
        !is(".explicitcluster") && !is(".blocksareclusters"))
      return fail("'" + token.text + "' is not understood at a kernel");
    bool none = is(".explicitcluster") || is(".blocksareclusters");
    if (!next())
      return false;
    for (unsigned i = 0; !none; ++i) {
      uint64_t value = 0;
      if (!number(value))
        return false;
      if (value > 0xffffffff || i > 2 || (place && value == 0))
        return fail("no such number of threads or blocks");
      if (place) {
        place[i] = uint32_t(value);
        for (unsigned j = i + 1; j < 3; ++j)
          place[j] = 1;
      }
      if (!is(","))
        break;
      if (!next())
        return false;
    }
  }
  return body();
}

bool Parser::body() {
  if (!expect("{"))
    return false;
  unsigned depth = 1;
  while (depth) {
    if (token.kind == Token::End)
      return fail("the kernel does not end");
    if (is("{")) {
      if (++depth > 64)
        return fail("blocks nest too deeply");
      scopes.push_back(hidden.size());
      blockParents.push_back(currentBlock);
      currentBlock = uint32_t(blockParents.size() - 1);
      if (!next())
        return false;
      continue;
    }
    if (is("}")) {
      --depth;
      if (!scopes.empty()) {
        for (; hidden.size() > scopes.back(); hidden.pop_back()) {
          Hidden &h = hidden.back();
          auto &table = h.isRange ? ranges : names;
          if (h.wasThere)
            table[h.name] = h.before;
          else
            table.erase(h.name);
        }
        scopes.pop_back();
        currentBlock = blockParents[currentBlock];
      }
      if (!next())
        return false;
      continue;
    }
    if (!statement())
      return false;
  }
  return finishKernel();
}

bool Parser::declare(const std::string &name, const Name &value) {
  auto &table = value.count ? ranges : names;
  auto found = table.find(name);
  bool isThere = found != table.end();
  if (isThere && found->second.depth == value.depth)
    return false;
  if (!scopes.empty())
    hidden.push_back(
        {value.count != 0, name, isThere ? found->second : Name(), isThere});
  table[name] = value;
  return true;
}

/// The innermost declaration of a name, and which of the numbered ones it is.
const Parser::Name *Parser::lookUp(const std::string &name,
                                   uint64_t &number) const {
  number = 0;
  auto found = names.find(name);
  const Name *best = found == names.end() ? nullptr : &found->second;
  size_t digits = name.size();
  uint64_t value = 0, scale = 1;
  while (digits > 1 && name[digits - 1] >= '0' && name[digits - 1] <= '9' &&
         name.size() - digits < 6) {
    --digits;
    value += scale * uint64_t(name[digits] - '0');
    scale *= 10;
    if (name[digits] == '0' && digits + 1 < name.size())
      continue; // %r01 is not %r1
    auto range = ranges.find(name.substr(0, digits));
    if (range != ranges.end() && value < range->second.count &&
        (!best || range->second.depth > best->depth)) {
      best = &range->second;
      number = value;
    }
  }
  return best;
}

bool Parser::registers() {
  Type type;
  if (token.kind != Token::Word || !parseType(token.text.substr(1), type))
    return fail("'" + token.text + "' is no type of a register");
  bool isPredicate = type.kind == Kind::Pred;
  if (type.bytes() > 8)
    return fail("registers of 128 bits are not emulated");
  if (!next())
    return false;
  for (;;) {
    if (token.kind != Token::Word)
      return fail("expected a register, found '" + token.text + "'");
    std::string name = token.text;
    if (!next())
      return false;
    uint64_t count = 1;
    bool many = is("<");
    if (many && (!next() || !number(count) || !expect(">")))
      return false;
    if (count == 0)
      return fail("no registers are declared");
    uint32_t &total =
        isPredicate ? kernel->numPredicates : kernel->numRegisters;
    if (count > kMaxRegisters || total + count > kMaxRegisters)
      return fail("too many registers");
    Name value;
    value.operand.kind = isPredicate ? Operand::Pred : Operand::Reg;
    value.operand.index = total;
    value.count = many ? count : 0;
    value.depth = uint32_t(scopes.size());
    if (!declare(name, value))
      return fail("'" + name + "' is declared twice");
    total += uint32_t(count);
    if (!is(","))
      break;
    if (!next())
      return false;
  }
  return expect(";");
}

bool Parser::statement() {
  if (is(".reg"))
    return next() && registers();
  if (is(".local"))
    return next() && variable(Space::Local, false, kernel);
  if (is(".shared"))
    return next() && variable(Space::Shared, false, kernel);
  if (is(".pragma"))
    return skipTo(";");
  if (is(".loc")) {
    uint32_t here = token.line;
    while (token.line == here && token.kind != Token::End)
      if (!next())
        return false;
    return true;
  }
  if (is(";"))
    return next();
  if (token.kind == Token::Word && token.text[0] != '.') {
    // A label: its name, then a colon.
    const char *p = at;
    while (p < end && (*p == ' ' || *p == '\t'))
      ++p;
    if (p < end && *p == ':' && !(p + 1 < end && p[1] == ':')) {
      std::string name = token.text + " " + std::to_string(currentBlock);
      if (!labels.emplace(name, uint32_t(kernel->code.size())).second)
        return fail("label '" + token.text + "' is declared twice");
      return next() && next();
    }
    return instruction();
  }
  if (is("@"))
    return instruction();
  return fail("'" + token.text + "' is not understood here");
}

bool Parser::immediate(uint64_t bits, Operand &out) {
  auto [place, isNew] =
      constants.emplace(bits, uint32_t(program->constants.size()));
  if (isNew) {
    auto row = std::make_unique<Row>();
    for (uint64_t &lane : row->lane)
      lane = bits;
    program->constants.push_back(std::move(row));
  }
  out.kind = Operand::Const;
  out.index = place->second;
  return true;
}

/// Rows of Warp::special; they follow the kernel's registers.
static int specialNumber(const std::string &name) {
  static const char *const names[] = {"%tid.x",
                                      "%tid.y",
                                      "%tid.z",
                                      "%ntid.x",
                                      "%ntid.y",
                                      "%ntid.z",
                                      "%ctaid.x",
                                      "%ctaid.y",
                                      "%ctaid.z",
                                      "%nctaid.x",
                                      "%nctaid.y",
                                      "%nctaid.z",
                                      "%laneid",
                                      "%warpid",
                                      "%lanemask_eq",
                                      "%lanemask_lt",
                                      "%lanemask_le",
                                      "%lanemask_gt",
                                      "%lanemask_ge",
                                      "%cluster_ctarank",
                                      "%clusterid.x",
                                      "%smid",
                                      "%dynamic_smem_size",
                                      "%total_smem_size"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; ++i)
    if (name == names[i])
      return int(i);
  return -1;
}

bool Parser::namedOperand(const std::string &name, Operand &out) {
  uint64_t which = 0;
  if (const Name *found = lookUp(name, which)) {
    out = found->operand;
    out.index += uint32_t(which);
    return true;
  }
  int special = specialNumber(name);
  if (special >= 0) {
    out.kind = Operand::Reg;
    out.index = 0xffff0000u + uint32_t(special); // placed by finishKernel
    return true;
  }
  auto variable = variables.find(name);
  if (variable != variables.end()) {
    out.kind = Operand::Symbol;
    out.index = variable->second;
    return true;
  }
  if (name[0] == '%')
    return fail("no register '" + name + "'");
  out.kind = Operand::Label;
  labelUses.push_back(
      {uint32_t(kernel->code.size()), name, token.line, currentBlock});
  return true;
}

bool Parser::address(Address &result) {
  if (!expect("["))
    return false;
  if (token.kind == Token::Word) {
    if (!namedOperand(token.text, result.base) || !next())
      return false;
    if (result.base.kind == Operand::Label)
      return fail("no variable of this name");
  } else if (token.kind == Token::Number) {
    result.offset = int64_t(token.value);
    if (!next())
      return false;
  }
  while (is("+") || is("-")) {
    bool minus = is("-");
    if (!next())
      return false;
    // "+-12" is how LLVM writes it.
    if (is("-")) {
      minus = !minus;
      if (!next())
        return false;
    }
    uint64_t value = 0;
    if (!number(value))
      return false;
    uint64_t sum = uint64_t(result.offset);
    result.offset = int64_t(minus ? sum - value : sum + value);
  }
  return true;
}

bool Parser::operand(std::vector<Operand> &out, uint64_t &count, Type type) {
  Operand o;
  count = 1;
  if (is("{")) {
    if (!next())
      return false;
    count = 0;
    while (!is("}")) {
      uint64_t inner = 0;
      if (is("{"))
        return fail("braces in braces");
      if (!operand(out, inner, type))
        return false;
      if (++count > 512)
        return fail("a vector is too long");
      if (!is("}") && !expect(","))
        return false;
    }
    if (count == 0)
      return fail("a vector is empty");
    return next();
  }
  if (is("!")) {
    if (!next() || !namedOperand(token.text, o))
      return false;
    if (o.kind != Operand::Pred)
      return fail("only a predicate can be negated");
    o.negated = true;
    out.push_back(o);
    return next();
  }
  bool minus = is("-");
  if (minus && !next())
    return false;
  if (token.kind == Token::Number) {
    uint64_t bits = minus ? 0 - token.value : token.value;
    // With .pred a number is the mask of lanes that vote.
    unsigned size = type.kind == Kind::Pred ? 0 : type.bits * type.count;
    if (size && size < 64)
      bits &= (uint64_t(1) << size) - 1;
    immediate(bits, o);
  } else if (token.kind == Token::Float) {
    uint64_t bits = token.value;
    if (minus)
      bits ^= token.isDouble ? 1ull << 63 : 1ull << 31;
    immediate(bits, o);
  } else if (token.kind == Token::Word && !minus) {
    if (is("_"))
      o.kind = Operand::Sink;
    else if (!namedOperand(token.text, o))
      return false;
  } else {
    return fail("expected an operand, found '" + token.text + "'");
  }
  out.push_back(o);
  return next();
}

static std::vector<std::string> splitName(const std::string &text) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

bool Parser::instruction() {
  if (++numInstructions > kMaxInstructions)
    return fail("too many instructions");
  Instruction i;
  i.line = token.line;
  if (is("@")) {
    if (!next())
      return false;
    bool negated = is("!");
    if (negated && !next())
      return false;
    if (!namedOperand(token.text, i.guard))
      return false;
    if (i.guard.kind != Operand::Pred)
      return fail("the guard '" + token.text + "' is no predicate");
    i.guard.negated = negated;
    if (!next())
      return false;
  }
  if (token.kind != Token::Word)
    return fail("expected an instruction, found '" + token.text + "'");
  i.name = splitName(token.text);
  for (const std::string &part : i.name) {
    Type type;
    if (&part == &i.name[0] || !parseType(part, type))
      continue;
    if (i.type.bits == 0)
      i.type = type;
    else if (i.type2.bits == 0)
      i.type2 = type;
  }
  if (i.type2.bits == 0)
    i.type2 = i.type;
  if (!next())
    return false;
  // Which operand is the destination is for the decoder to say; here the first
  // is, with what is joined to it by '|'.
  bool first = true;
  while (!is(";")) {
    if (token.kind == Token::End)
      return fail("the instruction does not end");
    if (is("[")) {
      if (i.numAddresses == 3)
        return fail("more than three addresses");
      Address &a = i.address[i.numAddresses++];
      if (!address(a))
        return false;
      // A tensor's coordinates: [map, {x, y}].
      if (is(",")) {
        uint64_t count = 0;
        if (!next() || !operand(i.src, count, {Kind::S, 32, 1}))
          return false;
        i.groups.push_back(unsigned(count));
      }
      if (!expect("]"))
        return false;
    } else {
      uint64_t count = 0;
      std::vector<Operand> &out = first ? i.dst : i.src;
      // The type of an immediate: of the sources.
      Type type = i.type2.bits ? i.type2 : i.type;
      // What mad.wide adds is twice as wide.
      if (i.src.size() == 2 && i.name.size() > 1 && i.name[1] == "wide")
        type = Type();
      if (!operand(out, count, type))
        return false;
      if (i.dst.size() + i.src.size() > kMaxOperands)
        return fail("too many operands");
      if (first && is("|")) {
        if (!next() || !operand(i.dst, count, Type()))
          return false;
      } else if (!first) {
        i.groups.push_back(unsigned(count));
      }
    }
    first = false;
    if (!is(";")) {
      if (!expect(","))
        return false;
      if (is(";"))
        return fail("an operand is missing");
    }
  }
  DecodeContext context = {program.get(), kernel, nullptr};
  std::string why;
  context.error = &why;
  Decode decode = findOpcode(i.name[0]);
  if (!decode)
    return fail("instruction '" + i.name[0] + "' is not emulated", i.line);
  if (!decode(context, i) || !i.execute) {
    std::string whole;
    for (const std::string &part : i.name)
      whole += (whole.empty() ? "" : ".") + part;
    return fail("'" + whole + "': " + (why.empty() ? "not emulated" : why),
                i.line);
  }
  kernel->code.push_back(std::move(i));
  return next();
}

bool Parser::finishKernel() {
  for (const LabelUse &use : labelUses) {
    auto found = labels.end();
    for (uint32_t block = use.block;; block = blockParents[block]) {
      found = labels.find(use.name + " " + std::to_string(block));
      if (block == 0 || found != labels.end())
        break;
    }
    if (found == labels.end())
      return fail("no label '" + use.name + "'", use.line);
    Instruction &i = kernel->code[use.instruction];
    for (std::vector<Operand> *list : {&i.dst, &i.src})
      for (Operand &o : *list)
        if (o.kind == Operand::Label)
          o.index = found->second;
  }
  // Special registers behind the others.
  auto place = [&](Operand &o) {
    if (o.kind == Operand::Reg && o.index >= 0xffff0000u)
      o.index = kernel->numRegisters + (o.index - 0xffff0000u);
  };
  uint64_t shared = kSharedBase;
  auto useSymbol = [&](const Operand &o) {
    if (o.kind != Operand::Symbol || o.index >= program->variables.size())
      return;
    const Variable &v = program->variables[o.index];
    if (v.space != Space::Shared || kernel->sharedOffsets.count(o.index))
      return;
    if (v.isExternal) {
      kernel->usesDynamicShared = true;
      kernel->sharedOffsets[o.index] = 0;
      if (kernel->sharedAlignment < v.alignment)
        kernel->sharedAlignment = uint32_t(v.alignment);
      return;
    }
    shared = (shared + v.alignment - 1) & ~(v.alignment - 1);
    kernel->sharedOffsets[o.index] = uint32_t(shared);
    if (shared <= kMaxVariable)
      shared += v.size;
  };
  for (Instruction &i : kernel->code) {
    place(i.guard);
    for (std::vector<Operand> *list : {&i.dst, &i.src})
      for (Operand &o : *list) {
        place(o);
        useSymbol(o);
      }
    for (Address &a : i.address) {
      place(a.base);
      useSymbol(a.base);
    }
    if (shared > (1u << 20))
      return fail("too much shared memory", i.line);
  }
  kernel->staticShared = uint32_t(shared) - kSharedBase;
  // The dynamic part begins behind the static one.
  uint32_t dynamic = (uint32_t(shared) + kernel->sharedAlignment - 1) &
                     ~(kernel->sharedAlignment - 1);
  for (auto &[index, offset] : kernel->sharedOffsets)
    if (program->variables[index].isExternal)
      offset = dynamic;
  if (kernel->code.empty())
    return fail("kernel '" + kernel->name + "' is empty");
  return true;
}

std::unique_ptr<Program> moe::emu::parseProgram(const char *text, size_t size,
                                                std::string &error) {
  error.clear();
  // A NUL ends the text, as the driver has it.
  size_t length = 0;
  while (length < size && text[length])
    ++length;
  return Parser(text, length, error).run();
}
