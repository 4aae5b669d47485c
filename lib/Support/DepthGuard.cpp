//===- DepthGuard.cpp - Refuse text that a parser cannot bear -------------===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//===----------------------------------------------------------------------===//
#include "moe/Support/DepthGuard.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

static bool isControlCharacter(char c) {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t' && c != '\n' &&
          c != '\r') ||
         c == '\x7f';
}

static StringRef takeName(StringRef text) {
  return text.take_while([](char c) {
    return llvm::isAlnum(c) || c == '_' || c == '.' || c == '$';
  });
}

std::optional<std::string> moe::findUnsafeText(llvm::MemoryBufferRef buffer) {
  StringRef text = buffer.getBuffer();
  if (text.starts_with("ML\xefR"))
    return std::nullopt;
  auto complain = [&](int64_t line, const Twine &what) {
    return (buffer.getBufferIdentifier() + ":" + Twine(line) + ": " + what)
        .str();
  };
  // A diagnostic shows the line as it is.
  if (const char *bad = llvm::find_if(text, isControlCharacter);
      bad != text.end())
    return complain(text.take_front(bad - text.begin()).count('\n') + 1,
                    "control character 0x" +
                        llvm::utohexstr(static_cast<unsigned char>(*bad),
                                        /*LowerCase=*/true, /*Width=*/2) +
                        ", expected text or bytecode");
  // Open brackets: {, (, [, <. Text that closes too many is the parser's.
  int64_t braces = 0, parens = 0, squares = 0, angles = 0, minuses = 0;
  int64_t line = 1;
  // `!b = tuple<!a>` nests as deep as !a and its own brackets together.
  llvm::StringMap<int64_t> aliases;
  StringRef alias;
  int64_t aliasDepth = 0;
  // How much of `array` `<` came last.
  int arrayTokens = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char next = i + 1 < text.size() ? text[i + 1] : '\0';
    int64_t nested = 0;
    if (text[i] != '-' && text[i] != ' ' && text[i] != '\n')
      minuses = 0;
    if (text[i] == '!' && arrayTokens == 2)
      return complain(line, "alias in an array, expected the element type");
    if (!llvm::isSpace(text[i]) && text[i] != '/' && !llvm::isAlpha(text[i]))
      arrayTokens = text[i] == '<' && arrayTokens == 1 ? 2 : 0;
    switch (text[i]) {
    case '\n':
      ++line;
      break;
    case '"':
      // A string ends at its quote, at the latest at the end of the line.
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] != '\n')
          ++i;
      if (i < text.size() && text[i] == '\n')
        ++line;
      break;
    case '/':
      if (next == '/') {
        i = std::min(text.find('\n', i), text.size()) - 1;
        minuses = 0;
      }
      break;
    case '-':
      // The arrow closes nothing.
      if (next == '>')
        ++i;
      else
        ++minuses;
      break;
    case '{':
      ++braces;
      break;
    case '}':
      braces -= braces > 0;
      break;
    case '(':
      ++parens;
      break;
    case ')':
      parens -= parens > 0;
      break;
    case '[':
      ++squares;
      break;
    case ']':
      squares -= squares > 0;
      break;
    case '<':
      angles += next != '=';
      break;
    case '>':
      angles -= angles > 0 && next != '=';
      break;
    case '!':
    case '#': {
      StringRef name = text.substr(i, 1 + takeName(text.substr(i + 1)).size());
      i += name.size() - 1;
      nested = braces + parens + squares + angles + aliases.lookup(name);
      if (text.substr(i + 1).ltrim(" \t").starts_with("=")) {
        aliases[alias] = aliasDepth;
        alias = name;
        nested = aliasDepth = 0;
        break;
      }
      break;
    }
    default:
      if (llvm::isAlpha(text[i])) {
        StringRef name = takeName(text.substr(i));
        // The parser takes it for an integer type with a width, and ends.
        if (name == "index" && arrayTokens == 2)
          return complain(line, "array of index, expected integers of a width "
                                "or floats");
        arrayTokens = name == "array";
        i += name.size() - 1;
      } else if (llvm::isDigit(text[i])) {
        StringRef number = text.substr(i).take_while(llvm::isAlnum);
        if (number.size() > kMaxNumberLength)
          return complain(line, "number of " + Twine(number.size()) +
                                    " digits, expected at most " +
                                    Twine(kMaxNumberLength));
        i += number.size() - 1;
      }
      break;
    }
    nested = std::max(nested, braces + parens + squares + angles);
    aliasDepth = std::max(aliasDepth, nested);
    bool deepBraces = braces > kMaxBraceDepth;
    if (deepBraces || parens + squares + angles > kMaxBracketDepth ||
        minuses > kMaxBracketDepth || nested > kMaxBracketDepth)
      return complain(
          line, Twine(deepBraces ? "braces" : "brackets") +
                    " nest deeper than " +
                    Twine(deepBraces ? kMaxBraceDepth : kMaxBracketDepth) +
                    " levels");
  }
  return std::nullopt;
}
