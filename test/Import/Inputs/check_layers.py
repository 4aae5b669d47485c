#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Descriptions that must be rejected, one directory and one run for each.

    check_layers.py WORK FILE.json...       {name: {"rule", "config"}}
    check_layers.py --goldens DIR NAME...   NAMEs are imported, the other cases
                                            are refused as not supported yet
"""
import json
import os
import subprocess
import sys


def run(directory, *flags):
    return subprocess.run(["moe-import", directory, "-o", "-", *flags],
                          capture_output=True, text=True, timeout=20)


def check_rules(work, files):
    wrong, count = [], 0
    for file in files:
        with open(file) as stream:
            cases = json.load(stream)
        for name, case in cases.items():
            directory = os.path.join(work, name)
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, "config.json"), "w") as stream:
                json.dump(case["config"], stream)
            result = run(directory, "--weights=none")
            count += 1
            start = f"error: {os.path.join(directory, 'config.json')}: "
            if case["rule"]:
                fits = (result.returncode == 1 and result.stdout == "" and
                        result.stderr.startswith(f"{start}{case['rule']}: '"))
            else:
                # Valid, but without IR: the field is named, no rule is.
                fits = (result.returncode == 1 and
                        result.stderr.startswith(start + "'") and
                        "not supported yet" in result.stderr)
            if not fits or result.stderr.count("\n") != 1:
                wrong.append(f"{name} ({case['rule']}): {result.returncode} "
                             f"{result.stderr}")
    return wrong, count


def check_goldens(directory, supported):
    wrong = []
    names = sorted(name for name in os.listdir(directory)
                   if os.path.isdir(os.path.join(directory, name)))
    for name in names:
        result = run(os.path.join(directory, name))
        if name in supported:
            fits = result.returncode == 0 and "moe.layer" in result.stdout
        else:
            fits = (result.returncode == 1 and
                    "not supported yet by this compiler" in result.stderr)
        if not fits:
            wrong.append(f"{name}: {result.returncode} {result.stderr}")
    wrong += [f"{name}: not there" for name in supported if name not in names]
    return wrong, len(names)


if sys.argv[1] == "--goldens":
    wrong, count = check_goldens(sys.argv[2], sys.argv[3:])
else:
    wrong, count = check_rules(sys.argv[1], sys.argv[2:])
if wrong or not count:
    sys.exit("\n".join(wrong) or "no cases")
print(f"{count} cases")
