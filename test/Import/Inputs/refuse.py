#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs a tool that must refuse its input.

    refuse.py TOOL ARGUMENT... -- TEXT

Requires exit code 1, nothing on standard output, one `error: ` line without
control characters that holds TEXT, and no file where -o points.
"""
import os
import subprocess
import sys

split = len(sys.argv) - 1 - sys.argv[::-1].index("--")
command, text = sys.argv[1:split], " ".join(sys.argv[split + 1:])
output = command[command.index("-o") + 1]
if os.path.exists(output):
    os.remove(output)
run = subprocess.run(command, capture_output=True, timeout=20)
error = run.stderr.decode()
problems = []
if run.returncode != 1:
    problems.append(f"exit code {run.returncode}")
if run.stdout:
    problems.append("text on standard output")
if not error.startswith("error: ") or error.count("\n") != 1:
    problems.append("not one error line")
if any(ord(c) < 32 for c in error[:-1]):
    problems.append("control characters")
if error.rstrip("\n").endswith("."):
    problems.append("a full stop at the end")
if text not in error:
    problems.append(f"no '{text}'")
if os.path.exists(output):
    problems.append("an output file")
if problems:
    sys.exit(f"{' '.join(command)}: {', '.join(problems)}\n{error}")
