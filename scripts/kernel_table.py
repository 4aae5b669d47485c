#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tabulates what ptxas says about every kernel that is shipped.

usage: kernel_table.py [--build DIR] [--cases FILE] [--check TABLE]

Compiles each case of FILE (default: test/Target/GPU/Inputs/kernel-cases.txt; a
model under the project's root and flags of moe-compile per line, # begins a
comment) for both devices and prints a line per kernel and device. Equal lines
of several cases are printed once. With --check TABLE prints nothing but the
difference. Figures depend on the version of ptxas, which is in the table.

Exit codes: 0 done, 1 a case does not compile, 2 wrong command line, 3 the table
differs, 4 there is no ptxas.
"""

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVICES = ("cuda:sm_80", "cuda:sm_90a")
COLUMNS = (("kernel", "kernel"), ("target", "target"), ("threads", "threads"),
           ("cluster", "cluster"), ("registers", "registers"),
           ("static_shared_bytes", "static B"),
           ("dynamic_shared_bytes", "dynamic B"), ("stack_bytes", "stack B"),
           ("spill_store_bytes", "spill st B"),
           ("spill_load_bytes", "spill ld B"))


def fail(text, code):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(code)


def find_ptxas(build):
    found = subprocess.run(
        [os.path.join(ROOT, "scripts", "ptxas.sh"), "--no-install", build],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        check=False)
    if found.returncode != 0:
        fail("there is no ptxas; scripts/ptxas.sh installs one", 4)
    path = found.stdout.split("\n")[-2]
    text = subprocess.run([path, "--version"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    return path, re.search(r"V([0-9.]+)", text).group(1)


def read_cases(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                yield words


def compile_case(build, ptxas, words):
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        command = [os.path.join(build, "bin", "moe-compile"),
                   os.path.join(ROOT, words[0]), "--ptxas=" + ptxas,
                   "--kernel-report=" + report, "-o",
                   os.path.join(folder, "out.so")]
        command += ["--target=" + device for device in DEVICES] + words[1:]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True,
                              check=False)
        if done.returncode != 0:
            fail(f"{' '.join(words)}: {done.stderr.strip()}", 1)
        with open(report, encoding="utf-8") as file:
            return json.load(file)


def format_row(kernel):
    cells = []
    for key, _ in COLUMNS:
        value = kernel[key]
        if isinstance(value, list):
            while len(value) > 1 and value[-1] == 1:
                value = value[:-1]
            value = "x".join(map(str, value))
        cells.append(str(value))
    return cells


def make_table(build, cases):
    ptxas, version = find_ptxas(build)
    rows = []
    for words in read_cases(cases):
        for kernel in compile_case(build, ptxas, words):
            row = format_row(kernel)
            if row not in rows:
                rows.append(row)
    rows.sort()
    rows.insert(0, [title for _, title in COLUMNS])
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [f"# ptxas {version}; made by scripts/kernel_table.py"]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:])]
        lines.append("  ".join(left + right).rstrip())
    return "".join(line + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n")[2][7:])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--cases", default=os.path.join(
        ROOT, "test", "Target", "GPU", "Inputs", "kernel-cases.txt"))
    parser.add_argument("--check", metavar="TABLE")
    arguments = parser.parse_args()
    table = make_table(os.path.abspath(arguments.build), arguments.cases)
    if not arguments.check:
        sys.stdout.write(table)
        return 0
    with open(arguments.check, encoding="utf-8") as file:
        expected = file.read()
    if table == expected:
        return 0
    sys.stdout.writelines(difflib.unified_diff(
        expected.splitlines(True), table.splitlines(True), arguments.check,
        "as compiled"))
    fail(f"{arguments.check}: differs; after a change of kernels write it again "
         "with scripts/kernel_table.py", 3)


if __name__ == "__main__":
    sys.exit(main())
