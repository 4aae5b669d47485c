# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Holds the page of a tool against what its --help says.

usage: tool_flags.py TOOL PAGE.md [FLAG...]

Every flag of TOOL's help must be on the page, and every flag in the first
column of a table of the page must be in the help. With FLAGs, these take the
place of the help (moe-opt also has every flag of MLIR).
"""
import re
import subprocess
import sys

# What LLVM's command line adds by itself.
INHERITED = {"--help-list", "--help-hidden", "--help-list-hidden"}


def flags(text):
    found = re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", text)
    # -O <LEVEL> and -O2 are one flag.
    return {"-O" if re.fullmatch(r"-O\d?", flag) else flag for flag in found}


def main():
    tool, path, named = sys.argv[1], sys.argv[2], sys.argv[3:]
    page = open(path, encoding="utf-8").read()
    shown = subprocess.run([tool, "--help"], stdout=subprocess.PIPE,
                           text=True, check=True).stdout
    if named:
        missing = set(named) - flags(shown)
        offered = set(named)
    else:
        missing = set()
        # Flags stand at the start of a line of the help, after spaces, or
        # after a comma or a semicolon there.
        offered = set()
        for line in shown.split("\n"):
            head = re.match(r" +(-.*?)(?:  +(?!-)|$| - )", line)
            if head:
                offered |= flags(head[1])
        offered -= INHERITED
    rows = "\n".join(line.split(" | ")[0] for line in page.split("\n")
                     if line.startswith("| `-"))
    for flag in sorted(missing):
        print(f"error: {tool} has no flag '{flag}'")
    absent = sorted(offered - flags(page))
    for flag in absent:
        print(f"error: {path} does not tell about {tool}'s '{flag}'")
    known = flags(shown) | INHERITED
    # One-letter forms of longer flags need no line of the help.
    surplus = sorted(f for f in flags(rows) - known if f.startswith("--"))
    for flag in surplus:
        print(f"error: {path} tells of '{flag}', which {tool} lacks")
    print(f"{tool}: {len(offered)} flags")
    return 1 if missing or absent or surplus or not offered else 0


sys.exit(main())
