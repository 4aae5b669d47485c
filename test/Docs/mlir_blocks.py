# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Parses the mlir blocks of pages and of descriptions in TableGen files.

usage: mlir_blocks.py ROOT

A block is cut at '// ==>' into before and after. A piece is a whole module, an
attribute, a type, or ops of a function's body; what such ops use and do not
define is declared before them, with the type that they want of it: the parser's
errors say name and type. A block that says '...' is an outline and skipped.
"""
import os
import re
import subprocess
import sys
import textwrap

FOLDERS = ("docs", "include", "benchmarks")
MARK = "// -----"


def sources(root):
    yield os.path.join(root, "README.md")
    for top in FOLDERS:
        for folder, folders, files in os.walk(os.path.join(root, top)):
            # generated/ is made of the .td files.
            folders[:] = sorted(f for f in folders if f != "generated")
            for name in sorted(files):
                if name.endswith((".md", ".td")):
                    yield os.path.join(folder, name)


class Snippet:
    """A piece of a block, and what its free values are."""

    def __init__(self, where, text):
        self.where = where
        self.text = textwrap.dedent(text).strip("\n")
        self.types = {}
        self.error = None

    def render(self):
        first = re.sub(r"^(//.*\n|\s*\n)*", "", self.text)
        if re.match(r"[#!]", first):
            kind = f"attr = {first}" if first[0] == "#" else f"type = {first}"
            return f"module attributes {{doc.{kind}}} {{}}"
        if re.match(r"(module|func\.func|llvm\.func|moe\.parameter )", first):
            return self.text
        lines = ["func.func private @doc() {"]
        lines += [f'  {name} = "doc.value"() : () -> ({type_})'
                  for name, type_ in self.types.items()]
        return "\n".join(lines + [self.text, "  return", "}"])

    def learn(self, rest, message):
        """Whether `message` tells what was missing. `rest` is where it points."""
        used = re.match(r"use of value '(%[^']+)' expects different type than "
                        r"prior uses: '(.*)' vs '(.*)'$", message)
        if used and self.types.get(used[1]) == "none":
            self.types[used[1]] = used[2]
            return True
        if message == "use of undeclared SSA value name":
            name = re.match(r"%[\w.$-]+", rest)
            if name and name[0] not in self.types:
                self.types[name[0]] = "none"
                return True
        self.error = message
        return False


def collect(root):
    snippets, outlines = [], 0
    for path in sources(root):
        if not os.path.exists(path):
            continue
        text = open(path, encoding="utf-8").read()
        for block in re.finditer(r"^ *```mlir\n(.*?)^ *```", text, re.M | re.S):
            if "..." in block[1] or "…" in block[1]:
                outlines += 1
                continue
            line = text[:block.start()].count("\n") + 2
            for piece in re.split(r"^ *// ==>\n", block[1], flags=re.M):
                where = f"{os.path.relpath(path, root)}:{line}"
                snippets.append(Snippet(where, piece))
    return snippets, outlines


def parse(snippets):
    """One run of moe-opt; the snippets about which something was learnt."""
    text = f"\n{MARK}\n".join(s.render() for s in snippets)
    starts, line = [], 1
    for snippet in snippets:
        starts.append(line)
        line += snippet.render().count("\n") + 2
    run = subprocess.run(
        ["moe-opt", "--split-input-file", "--allow-unregistered-dialect",
         "-", "-o", os.devnull], input=text,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    again = []
    text = text.split("\n")
    for line, column, message in re.findall(
            r"^<stdin>:(\d+):(\d+): error: (.*)", run.stdout, re.M):
        number = max(i for i, start in enumerate(starts) if start <= int(line))
        snippet = snippets[number]
        # Other complaints may come from a type that is not known yet.
        if snippet.learn(text[int(line) - 1][int(column) - 1:], message):
            again.append(snippet)
    for snippet in again:
        snippet.error = None
    if run.returncode and not again and not any(s.error for s in snippets):
        print(f"error: moe-opt:\n{run.stdout}")
        sys.exit(1)
    return list(dict.fromkeys(again))


def main():
    root = sys.argv[1]
    snippets, outlines = collect(root)
    left = snippets
    while left:
        left = parse(left)
    failed = [s for s in snippets if s.error]
    for snippet in failed:
        print(f"error: {snippet.where}: {snippet.error}\n{snippet.render()}")
    print(f"{len(snippets)} snippets, {outlines} outlines")
    return 1 if failed or not snippets else 0


sys.exit(main())
