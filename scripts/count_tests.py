#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Adds up the results of several test runners.

usage: count_tests.py [--allow-empty] NAME=KIND:STATUS:FILE...

KIND is `lit` (FILE: JSON written by --output) or `ctest` (FILE: JUnit XML
written by --output-junit), STATUS the runner's exit code. Prints what failed,
what was skipped, a line per runner, and last `N passed, N failed, N skipped`.
With --allow-empty a runner may have had nothing to do, but not all of them.
A runner that wrote no readable results, ended with an error without a failed
test, or ran nothing at all counts as one failed test. Exit code 0 only if
nothing failed.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree

LIT_PASSED = {"PASS", "XFAIL", "FLAKYPASS"}
LIT_SKIPPED = {"UNSUPPORTED", "SKIPPED"}


def read_lit(path):
    """Yields (name, 'passed' | 'failed' | 'skipped')."""
    with open(path, encoding="utf-8") as file:
        tests = json.load(file)["tests"]
    for test in tests:
        code = test["code"]
        if code == "EXCLUDED":
            continue
        outcome = ("passed" if code in LIT_PASSED else
                   "skipped" if code in LIT_SKIPPED else "failed")
        yield test["name"], outcome


def read_ctest(path):
    """Yields (name, 'passed' | 'failed' | 'skipped')."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        status = case.get("status")
        skipped = case.find("skipped")
        if status == "run" and case.find("failure") is None:
            outcome = "passed"
        elif status == "disabled" or (
                skipped is not None and
                skipped.get("message", "").startswith("SKIP_")):
            outcome = "skipped"
        else:  # "fail", or "notrun": its program or a dependency is missing.
            outcome = "failed"
        yield case.get("name"), outcome


READERS = {"lit": read_lit, "ctest": read_ctest}


def main(arguments):
    allow_empty = "--allow-empty" in arguments
    runners = [a for a in arguments if a != "--allow-empty"]
    total = {"passed": 0, "failed": 0, "skipped": 0}
    names = {"failed": [], "skipped": []}
    rows = []
    for runner in runners:
        try:
            name, rest = runner.split("=", 1)
            kind, status, path = rest.split(":", 2)
            status = int(status)
            reader = READERS[kind]
        except (ValueError, KeyError):
            print(f"error: count_tests.py: expected NAME=KIND:STATUS:FILE, "
                  f"found '{runner}'", file=sys.stderr)
            return 2
        count = {"passed": 0, "failed": 0, "skipped": 0}
        complaint = None
        try:
            for test, outcome in reader(path):
                count[outcome] += 1
                if outcome in names:
                    names[outcome].append(f"{name}: {test}")
        except FileNotFoundError:
            # lit and ctest write nothing when a filter leaves nothing.
            if status != 0 or not allow_empty:
                complaint = "wrote no results"
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            complaint = f"unreadable results in {os.path.basename(path)}: {error}"
        if complaint is None and status != 0 and count["failed"] == 0:
            complaint = f"exit code {status}"
        if complaint is None and not allow_empty and not any(count.values()):
            complaint = "ran no test"
        if complaint is not None:
            count["failed"] += 1
            names["failed"].append(f"{name}: {complaint}")
        for outcome in total:
            total[outcome] += count[outcome]
        rows.append((name, count))

    for outcome in ("skipped", "failed"):
        if names[outcome]:
            print(f"\n-- {outcome}")
            for test in names[outcome]:
                print(f"   {test}")
    print("\n-- runners")
    for name, count in rows:
        print(f"   {name:10} {count['passed']:5} passed {count['failed']:5} "
              f"failed {count['skipped']:5} skipped")
    print(f"{total['passed']} passed, {total['failed']} failed, "
          f"{total['skipped']} skipped")
    if not any(total.values()):
        print("error: no test ran", file=sys.stderr)
        return 1
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
