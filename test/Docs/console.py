# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the console blocks of a page and compares what they print.

usage: console.py PAGE.md ROOT

A block that starts with ```console holds commands after '$ ' (a line that ends
in a backslash goes on in the next one) and what they print, stdout and stderr
together. A line '...' stands for any lines. Commands run in the current
directory, where models/ and examples/ of ROOT are linked; ROOT/build is not
used: tools come from PATH, and './run.sh' and its like are not executed.
"""
import os
import re
import subprocess
import sys


def blocks(text):
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        lines = block.split("\n")[:-1]
        command, expected = None, []
        i = 0
        while i < len(lines):
            if lines[i].startswith("$ "):
                if command is not None:
                    yield command, expected
                command, expected = lines[i][2:], []
                while command.endswith("\\"):
                    i += 1
                    command = command[:-1] + " " + lines[i].strip()
            else:
                expected.append(lines[i])
            i += 1
        if command is not None:
            yield command, expected


def matches(expected, got):
    """Whether `got` is `expected`, with '...' for any number of lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else
        re.escape(line).replace(r"\.\.\.", ".*?") + "\n" for line in expected)
    return re.fullmatch(pattern, got) is not None


def main():
    page, root = sys.argv[1:3]
    for name in ("models", "examples"):
        if not os.path.lexists(name):
            os.symlink(os.path.join(root, name), name)
    count = 0
    for command, expected in blocks(open(page).read()):
        if command.startswith("./"):
            continue
        count += 1
        got = subprocess.run(command, shell=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True).stdout
        got = "\n".join(line.rstrip() for line in got.split("\n")).strip("\n")
        if not matches([line.rstrip() for line in expected], got + "\n" if got else ""):
            print(f"{page}: '{command}' prints\n{got}\nbut the page says\n" +
                  "\n".join(expected))
            return 1
    print(f"{count} commands")
    return 0 if count else 1


sys.exit(main())
