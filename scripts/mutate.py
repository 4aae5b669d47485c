#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures the tests: breaks the code in small ways and sees who notices.

  scripts/mutate.py run [--table FILE] [--only REGEX] ...
  scripts/mutate.py check [--table FILE]
  scripts/mutate.py propose [--max N] [--seed N] [--per-file N] PATH...

`run` copies the tree (tracked and new files, nothing ignored), builds the copy
and runs the tests on it, which must pass. Then it applies the mutations of the
table one by one to the copy, rebuilds, runs the test commands in order until
one fails, and puts the file back. The working tree is never written to, and
the copy has a build folder of its own.

`check` says whether every entry of the table still fits the working tree, and
`propose` writes candidates for the table to standard output.

The table is a JSON list of objects:
  file    path from the project's root
  old     text to replace; exactly once in the file, unless `line` is given
  new     text in its place
  line    number of the line on which `old` starts, for text that occurs often;
          the nearest occurrence within 40 lines is taken
  kind    operator, constant, guard, offset or call
  tests   value of {tests} in the test commands: a regular expression of test
          names that should notice; `.` if absent
  build   targets to build instead of all, separated by blanks
  test    list of the commands that should notice, instead of those of --test:
          few and quick, so that one mutation takes less than a minute
  equal   reason why no test can notice (the program means the same); such an
          entry is run as well, but does not count when it survives

Verdicts: `killed` (a test failed), `timeout` (killed by the clock), `survived`,
`invalid` (does not compile: says nothing about the tests and does not count).

Exit codes: 0 done, 1 error, 2 wrong command line, 3 fewer than --threshold
percent killed.
"""

import argparse
import difflib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

KINDS = ("operator", "constant", "guard", "offset", "call")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

DEFAULT_CONFIGURE = (
    "cmake -S {src} -B {build} -G Ninja -DCMAKE_BUILD_TYPE=Release "
    "-DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 "
    "-DMLIR_DIR=/usr/lib/llvm-22/lib/cmake/mlir -DMOE_CXX_OPT=-O0")
if shutil.which("ccache"):
    DEFAULT_CONFIGURE += (" -DCMAKE_C_COMPILER_LAUNCHER=ccache "
                          "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
DEFAULT_BUILD = "ninja -C {build} -j {jobs} {targets}"
# First the tests that ought to notice, then all of them.
DEFAULT_TESTS = [
    "lit-22 -q -j {jobs} --max-failures=1 --allow-empty-runs "
    "--filter={tests} {build}/test",
    "ctest --test-dir {build} -j {jobs} --stop-on-failure --timeout 120",
    "lit-22 -q -j {jobs} --max-failures=1 {build}/test",
]


class Error(Exception):
    """Something is wrong with the input or the environment."""


# ---------------------------------------------------------------------------
# The table


def load_table(path):
    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
    except OSError as error:
        raise Error(f"cannot read '{path}': {error.strerror}") from error
    except ValueError as error:
        raise Error(f"{path}: {error}") from error
    if not isinstance(table, list):
        raise Error(f"{path}: expected a list of mutations")
    for number, entry in enumerate(table, 1):
        where = f"{path}: mutation {number}"
        if not isinstance(entry, dict):
            raise Error(f"{where}: expected an object")
        for key in ("file", "old", "new"):
            if not isinstance(entry.get(key), str):
                raise Error(f"{where}: expected a string '{key}'")
        unknown = set(entry) - {"file", "old", "new", "line", "kind", "tests",
                                "build", "test", "equal"}
        if unknown:
            raise Error(f"{where}: unknown key '{sorted(unknown)[0]}'")
        if entry["old"] == entry["new"] or not entry["old"]:
            raise Error(f"{where}: 'old' is empty or equals 'new'")
        if entry.get("kind", "operator") not in KINDS:
            raise Error(f"{where}: kind is '{entry['kind']}', expected one of "
                        f"{', '.join(KINDS)}")
        commands = entry.get("test", ["."])
        if (not isinstance(commands, list) or not commands or
                not all(isinstance(c, str) for c in commands)):
            raise Error(f"{where}: 'test' is not a list of commands")
        path_parts = entry["file"].split("/")
        if os.path.isabs(entry["file"]) or ".." in path_parts:
            raise Error(f"{where}: file '{entry['file']}' leaves the project")
    return table


def locate(entry, text):
    """Returns the offset of entry's `old` in text."""
    old, offsets, at = entry["old"], [], text.find(entry["old"])
    while at >= 0:
        offsets.append(at)
        at = text.find(old, at + 1)
    if not offsets:
        raise Error(f"{entry['file']}: no '{shorten(old)}'")
    if "line" in entry:
        wanted = entry["line"]
        distance = lambda o: abs(text.count("\n", 0, o) + 1 - wanted)
        best = min(offsets, key=distance)
        if distance(best) > 40:
            raise Error(f"{entry['file']}:{wanted}: no '{shorten(old)}' near")
        return best
    if len(offsets) > 1:
        raise Error(f"{entry['file']}: '{shorten(old)}' occurs "
                    f"{len(offsets)} times, expected once; add 'line'")
    return offsets[0]


def mutate_text(entry, text):
    at = locate(entry, text)
    return text[:at] + entry["new"] + text[at + len(entry["old"]):]


def shorten(text, width=50):
    text = " ".join(text.split())
    return text if len(text) <= width else text[:width - 3] + "..."


def describe(entry):
    """Both texts from shortly before where they begin to differ."""
    old, new = (" ".join(entry[key].split()) for key in ("old", "new"))
    start = max(0, len(os.path.commonprefix([old, new])) - 14)
    dots = "..." if start else ""
    return (f"{dots}{shorten(old[start:], 34)} => "
            f"{dots}{shorten(new[start:], 34)}")


# ---------------------------------------------------------------------------
# Running


def copy_tree(source, target):
    """Copies what git would: tracked files and new ones that it does not
    ignore. Times are kept, so that nothing is built twice."""
    listed = subprocess.run(
        ["git", "-C", source, "ls-files", "-z", "-c", "-o",
         "--exclude-standard"], capture_output=True, check=False)
    if listed.returncode != 0:
        raise Error(f"'{source}' is not a git checkout")
    wanted = set()
    for name in listed.stdout.decode().split("\0"):
        path = os.path.join(source, name)
        if not name or not os.path.lexists(path) or os.path.isdir(path):
            continue
        wanted.add(name)
        copy = os.path.join(target, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        # A copy that was used before keeps what did not change.
        if os.path.isfile(copy) and not os.path.islink(path):
            with open(path, "rb") as a, open(copy, "rb") as b:
                if a.read() == b.read():
                    continue
            shutil.copyfile(path, copy)
            continue
        shutil.copy2(path, copy, follow_symlinks=False)
    for folder, folders, files in os.walk(target):
        folders[:] = [f for f in folders if f not in ("build", ".git")]
        for name in files:
            path = os.path.join(folder, name)
            if os.path.relpath(path, target) not in wanted:
                os.remove(path)


class Runner:
    """Runs shell commands with a time and a memory limit, output to a log."""

    def __init__(self, log, memory_gib):
        self.log = log
        self.memory = memory_gib << 30

    def limit(self):
        if self.memory:
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def run(self, command, timeout):
        """Returns the exit code, or None if the time ran out."""
        self.log.write(f"$ {command}\n")
        self.log.flush()
        with subprocess.Popen(
                ["bash", "-c", command], stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=self.limit) as process:
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                # Also what a failed test left running in its group.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()


def run(options):
    table = load_table(options.table)
    entries = [(n, e) for n, e in enumerate(table, 1)
               if not options.only or re.search(
                   options.only, f"{n} {e['file']} {e.get('kind', '')}")]
    for _, entry in entries:  # Complain before the build, not after an hour.
        with open(os.path.join(ROOT, entry["file"]), encoding="utf-8") as file:
            locate(entry, file.read())
    if not entries:
        raise Error(f"{options.table}: no mutation is left to run")

    work = options.work or tempfile.mkdtemp(prefix="mutate.")
    work = os.path.abspath(work)
    if os.path.commonpath([work, ROOT]) == ROOT:
        raise Error(f"--work '{work}' lies in the working tree")
    src, build = os.path.join(work, "src"), os.path.join(work, "build")
    os.makedirs(src, exist_ok=True)
    copy_tree(ROOT, src)
    quote = lambda s: "'" + s.replace("'", "'\\''") + "'"
    fill = lambda command, tests=".", targets="": command.format(
        src=quote(src), build=quote(build), jobs=options.jobs,
        tests=quote(tests), targets=targets)

    def tests_of(entry):
        narrow = [] if options.all_tests else entry.get("test")
        return [fill(c, entry.get("tests", "."))
                for c in narrow or options.test]

    log_path = os.path.join(work, "log.txt")
    report_path = options.report or os.path.join(work, "report.json")
    done = {}
    if options.resume and os.path.exists(report_path):
        with open(report_path, encoding="utf-8") as file:
            done = {json.dumps(r["mutation"], sort_keys=True): r
                    for r in json.load(file)}

    results = []
    with open(log_path, "a", encoding="utf-8") as log:
        runner = Runner(log, options.memory_gib)
        say = lambda text: print(text, flush=True)
        say(f"-- copy in {src}, log in {log_path}")
        for what, command, limit in (
                [("configure", c, options.build_timeout)
                 for c in [options.configure] if c] +
                [("build", options.build, options.build_timeout)] +
                [("test", c, options.test_timeout)
                 for c in dict.fromkeys(c for _, e in entries
                                        for c in tests_of(e))]):
            if what == "test" and options.trust:
                continue
            start = time.monotonic()
            code = runner.run(command if what == "test" else fill(command),
                              limit)
            if code != 0:
                raise Error(f"unchanged code: {what} "
                            f"{'ran out of time' if code is None else 'failed'}"
                            f", see '{log_path}'")
            say(f"-- unchanged: {what} passes, "
                f"{time.monotonic() - start:.0f} s")

        for position, (number, entry) in enumerate(entries, 1):
            key = json.dumps(entry, sort_keys=True)
            path = os.path.join(src, entry["file"])
            with open(path, encoding="utf-8", newline="") as file:
                original = file.read()
            line = original.count("\n", 0, locate(entry, original)) + 1
            if key in done:
                result = done[key]
            else:
                start = time.monotonic()
                log.write(f"\n==== {number}: {entry['file']}:{line}: "
                          f"{describe(entry)}\n")
                verdict, by = "survived", ""
                try:
                    write(path, mutate_text(entry, original))
                    code = runner.run(
                        fill(options.build, targets=entry.get("build", "")),
                        options.build_timeout)
                    if code != 0:
                        verdict = "invalid"
                    else:
                        for command in tests_of(entry):
                            begin = os.path.getsize(log_path)
                            code = runner.run(command, options.test_timeout)
                            if code != 0:
                                verdict = ("timeout" if code is None
                                           else "killed")
                                by = name_failure(log_path, begin, command)
                                break
                finally:
                    write(path, original)
                result = {"number": number, "line": line, "verdict": verdict,
                          "by": by, "mutation": entry,
                          "seconds": round(time.monotonic() - start, 1)}
            results.append(result)
            with open(report_path + ".new", "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)
            os.replace(report_path + ".new", report_path)
            say(f"{position:4}/{len(entries)} {result['verdict']:8} "
                f"{result['seconds']:6.1f} s  {entry['file']}:{line}: "
                f"{describe(entry)}")
        # Leave the copy built as it was found.
        runner.run(fill(options.build), options.build_timeout)
    status = print_summary(results, options.threshold)
    print(f"-- report in {report_path}")
    if not options.work and not options.keep:
        if os.path.commonpath([os.path.abspath(report_path), work]) != work:
            shutil.rmtree(work)
    return status


def name_failure(log_path, begin, command):
    """The test that failed, from the output behind `begin`."""
    with open(log_path, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        output = file.read()
    found = re.search(r"^FAIL: [\w-]+ :: (\S+)|^ *\[?moe-mlir :: (\S+)|"
                      r"\d+ - (\S+) \((?:Failed|Timeout|SEGFAULT|"
                      r"Subprocess aborted|[A-Z]\w*)\)", output, re.MULTILINE)
    return next(filter(None, found.groups())) if found else command.split()[0]


def write(path, text):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    # A build tool that compares times to the second must see a change.
    stamp = time.time()
    os.utime(path, (stamp, stamp))


def print_summary(results, threshold):
    verdicts = ("killed", "timeout", "survived", "equal", "invalid")
    rows = {}
    survivors = []
    for result in results:
        entry, verdict = result["mutation"], result["verdict"]
        if verdict == "survived" and entry.get("equal"):
            verdict = "equal"
        if verdict in ("survived", "equal"):
            survivors.append(result)
        row = rows.setdefault(entry.get("kind", "operator"),
                              dict.fromkeys(verdicts, 0))
        row[verdict] += 1
    if survivors:
        print("\n-- survivors")
        for result in survivors:
            entry = result["mutation"]
            print(f"{entry['file']}:{result['line']} (mutation "
                  f"{result['number']})")
            if entry.get("equal"):
                print(f"  means the same: {entry['equal']}")
            diff = difflib.unified_diff(entry["old"].splitlines(),
                                        entry["new"].splitlines(), n=1,
                                        lineterm="")
            for line in list(diff)[3:]:
                print(f"  {line}")
    print("\n-- mutations")
    print(f"{'kind':10}" + "".join(f"{v:>10}" for v in verdicts))
    total = dict.fromkeys(verdicts, 0)
    for kind in sorted(rows):
        print(f"{kind:10}" + "".join(f"{rows[kind][v]:10}" for v in verdicts))
        for verdict in verdicts:
            total[verdict] += rows[kind][verdict]
    print(f"{'all':10}" + "".join(f"{total[v]:10}" for v in verdicts))
    killed = total["killed"] + total["timeout"]
    counted = killed + total["survived"]
    percent = 100.0 * killed / counted if counted else 0.0
    print(f"-- {killed} of {counted} killed: {percent:.1f} %, wanted "
          f"{threshold:g} %")
    return 0 if percent >= threshold else 3


def check(options):
    table = load_table(options.table)
    bad = 0
    for number, entry in enumerate(table, 1):
        try:
            with open(os.path.join(ROOT, entry["file"]),
                      encoding="utf-8") as file:
                locate(entry, file.read())
        except OSError as error:
            bad += 1
            print(f"mutation {number}: {entry['file']}: {error.strerror}")
        except Error as error:
            bad += 1
            print(f"mutation {number}: {error}")
    print(f"{len(table)} mutations, {bad} do not fit")
    if bad:
        raise Error(f"{options.table}: {bad} mutations do not fit the code")
    return 0


# ---------------------------------------------------------------------------
# Proposing

# (kind, pattern in code without comments and strings, replacement)
OPERATORS = [
    ("operator", r" < ", " <= "),
    ("operator", r" <= ", " < "),
    ("operator", r" > ", " >= "),
    ("operator", r" >= ", " > "),
    ("operator", r" == ", " != "),
    ("operator", r" != ", " == "),
    ("operator", r" && ", " || "),
    ("operator", r" \|\| ", " && "),
    ("operator", r"(?<=[\w)\]]) \+ (?=[\w(])", " - "),
    ("operator", r"(?<=[\w)\]]) - (?=[\w(])", " + "),
    ("operator", r"(?<=[\w)\]]) \* (?=[\w(])", " + "),
    ("operator", r"(?<=[\w)\]]) / (?=[\w(])", " * "),
    ("operator", r" \+= ", " -= "),
    ("constant", r"(?<![\w.])0(?![\w.])", "1"),
    ("constant", r"(?<![\w.])1(?![\w.])", "2"),
    ("constant", r"(?<![\w.])([2-9]|[1-9]\d+)(?![\w.])", lambda m: str(
        int(m.group(1)) + 1)),
    ("constant", r"(?<![\w.])(\d+\.\d+)f?(?![\w.])", lambda m: m.group(
        0).replace(m.group(1), str(float(m.group(1)) + 1))),
    ("constant", r"\btrue\b", "false"),
    ("constant", r"\bfalse\b", "true"),
    ("offset", r" \+ 1(?![\w.])", ""),
    ("offset", r" - 1(?![\w.])", ""),
    ("offset", r"\[([a-z]\w*)\](?= [=<>+*-]|[;,)])",
     lambda m: f"[{m.group(1)} + 1]"),
    ("guard", r"\bif \((?!constexpr)(?=[^;{]*\)\s*(?:\{\s*)?(?:return|continue"
              r"|break|goto))", "if (false && "),
    ("guard", r"\bcontinue;", "break;"),
    ("guard", r"!(?=[a-zA-Z_(])(?!=)", ""),
    ("call", r"\bstd::max\b", "std::min"),
    ("call", r"\bstd::min\b", "std::max"),
    ("call", r"\breturn failure\(\);", "return success();"),
]


def blank_out(text):
    """Comments, strings, characters and preprocessor lines become spaces."""
    pattern = re.compile(
        r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'"
        r"|^[ \t]*#(?:\\\n|[^\n])*", re.S | re.M)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def propose_for(path, text):
    code = blank_out(text)
    for kind, pattern, new in OPERATORS:
        for match in re.finditer(pattern, code):
            start, end = match.span()
            begin = text.rfind("\n", 0, start) + 1
            finish = text.find("\n", end)
            finish = len(text) if finish < 0 else finish
            line = code[begin:finish]
            # Declarations of templates, includes and asserts say little.
            if re.search(r"\b(template|assert|static_assert|include|using|"
                         r"namespace|typedef)\b", line):
                continue
            replacement = new(match) if callable(new) else new
            old = text[begin:finish].strip("\n")
            changed = text[begin:start] + replacement + text[end:finish]
            if kind == "guard" and replacement.startswith("if"):
                close = closing(code, end - 1)
                if close is None:
                    continue
                finish = text.find("\n", close)
                old = text[begin:finish]
                changed = (text[begin:start] + "if (false && (" +
                           text[end:close] + ")" + text[close:finish])
            entry = {"file": path, "kind": kind, "old": old.strip(),
                     "new": changed.strip()}
            if text.count(entry["old"]) != 1:
                entry["line"] = text.count("\n", 0, begin) + 1
            yield entry


def closing(code, opening):
    """Offset of the parenthesis that closes the one at `opening`."""
    depth = 0
    for at in range(opening, min(len(code), opening + 2000)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return None


def propose(options):
    files = []
    for path in options.path:
        path = os.path.join(ROOT, path)
        if os.path.isfile(path):
            files.append(path)
        for folder, folders, names in os.walk(path):
            folders.sort()
            files += [os.path.join(folder, n) for n in sorted(names)
                      if n.endswith((".c", ".cpp", ".h", ".cc"))]
    if not files:
        raise Error(f"no C or C++ file under {', '.join(options.path)}")
    source = random.Random(options.seed)
    chosen = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found = list(propose_for(os.path.relpath(path, ROOT), text))
        source.shuffle(found)
        # Not one kind only: take the kinds in turn.
        by_kind = {k: [e for e in found if e["kind"] == k] for k in KINDS}
        picked = []
        while len(picked) < options.per_file and any(by_kind.values()):
            for kind in KINDS:
                if by_kind[kind] and len(picked) < options.per_file:
                    picked.append(by_kind[kind].pop())
        chosen += picked
    if options.max and len(chosen) > options.max:
        chosen = source.sample(chosen, options.max)
    chosen.sort(key=lambda e: (e["file"], KINDS.index(e["kind"])))
    json.dump(chosen, sys.stdout, indent=1)
    print()
    print(f"{len(chosen)} candidates from {len(files)} files", file=sys.stderr)
    return 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    table = os.path.join(ROOT, "scripts", "mutations.json")

    sub = commands.add_parser("run", help="apply and test every mutation")
    sub.add_argument("--table", default=table)
    sub.add_argument("--only", help="regular expression over "
                                    "'NUMBER FILE KIND'")
    sub.add_argument("--work", help="folder of the copy; used again if it "
                                    "exists (default: a temporary one)")
    sub.add_argument("--keep", action="store_true",
                     help="keep the temporary folder")
    sub.add_argument("--configure", default=DEFAULT_CONFIGURE,
                     help="command with {src} {build} {jobs}; empty for none")
    sub.add_argument("--build", default=DEFAULT_BUILD)
    sub.add_argument("--test", action="append",
                     help="command with {src} {build} {jobs} {tests}; may be "
                          "repeated")
    sub.add_argument("--all-tests", action="store_true",
                     help="leave the entries' own test commands out")
    sub.add_argument("--trust", action="store_true",
                     help="do not run the tests on the unchanged code first")
    sub.add_argument("--build-timeout", type=float, default=3000)
    sub.add_argument("--test-timeout", type=float, default=600)
    sub.add_argument("--memory-gib", type=int, default=16,
                     help="address space of each process; 0: no limit")
    sub.add_argument("--jobs", type=int, default=os.cpu_count())
    sub.add_argument("--threshold", type=float, default=90)
    sub.add_argument("--report", help="JSON; default: report.json in --work")
    sub.add_argument("--resume", action="store_true",
                     help="take verdicts that the report already has")

    sub = commands.add_parser("check", help="does the table fit the code?")
    sub.add_argument("--table", default=table)

    sub = commands.add_parser("propose", help="candidates for the table")
    sub.add_argument("--max", type=int, default=0)
    sub.add_argument("--per-file", type=int, default=5)
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("path", nargs="+")

    options = parser.parse_args()
    if options.command == "run":
        options.test = options.test or DEFAULT_TESTS
    try:
        return {"run": run, "check": check, "propose": propose}[
            options.command](options)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: '{error.filename}': {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
