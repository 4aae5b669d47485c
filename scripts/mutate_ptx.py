#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures the emulator: breaks the synchronisation of generated kernels.

  scripts/mutate_ptx.py run [--build-dir DIR] [--seeds N] [--jobs N]
                            [--only REGEX] [--table FILE] [--case NAME]...
  scripts/mutate_ptx.py schedules [--build-dir DIR] [--seeds N] [--jobs N]
                            [--case NAME]...

`run` takes every wait, fence, barrier, arrive, expect_tx and commit of a case's
PTX in turn, removes or alters that one line, and runs the case on the emulated
device under N random schedules, with those of its inputs that execute the line.
A mutation is noticed when a run fails or its output differs from that of the
unchanged text; one in code that no input executes counts as not noticed.
`schedules` runs the unchanged text under N schedules: none may fail, and all
outputs must be equal.

Cases are layers of random weights; each uses other kernels. Exit codes: 0
done, 1 error, 2 wrong command line, 3 fewer than --threshold percent noticed or
a false alarm.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "Codegen", "GPU", "Inputs"))
from gpu_layers import GPULayer, st  # noqa: E402

# name; kernels to mutate; type of weights, H, I, E, k, whether there is a shared
# expert too (products without groups); arguments of moe-compile; device; its
# multiprocessors: few, so that a block of a persistent kernel takes one tile
# after the other; numbers of tokens, each of which chooses other kernels; those
# that ask for the optional outputs too.
Spec = collections.namedtuple(
    "Spec", "name kernels layer arguments device multiprocessors tokens full")
SM_80, SM_90A = ["--target=cuda:sm_80"], ["--target=cuda:sm_90a"]
BF16 = ["--precision=bf16"]
CASES = (
    Spec("f32-sm_80", "product_", ("F32", 100, 68, 5, 2, False), SM_80, 1, 108,
         (3, 40, 70, 330), ()),
    Spec("bf16-sm_80", "product_", ("BF16", 264, 136, 5, 2, True),
         SM_80 + BF16, 1, 108, (3, 40, 70, 330), ()),
    # Columns of weights that go round a ring more than once, in wgmma as well.
    Spec("warpgroup-sm_90a", "warpgroup_|combine_",
         ("BF16", 648, 584, 3, 2, True), SM_90A + BF16, 0, 2, (40, 250), ()),
    Spec("decode-sm_90a", "stream_", ("BF16", 8200, 16, 3, 2, True),
         SM_90A + BF16, 0, 1, (1, 2, 4, 7, 9), ()),
    Spec("decode-wide-sm_90a", "stream_", ("BF16", 72, 4616, 3, 2, True),
         SM_90A + BF16, 0, 1, (1, 2, 4, 7, 9), ()),
    # What other kernels there are must wait for those in front of them.
    Spec("early-sm_90a", "product_|plan_|router_|combine_",
         ("F32", 100, 68, 5, 2, False), SM_90A, 0, 132, (3, 40, 330, 9000),
         (3,)),
    # More slots than one block sorts, and more experts than a warp has lanes.
    Spec("plan-sm_80", "plan_|router_|combine_", ("F32", 8, 4, 40, 2, False),
         SM_80, 1, 108, (3, 3000, 9000), (3, 3000)),
)

# What a line may be; the text that takes its place, or None: nothing does.
# The first that matches counts.
WAIT_TRUE = r"setp.eq.u32 \1, 0, 0;"
MUTATIONS = (
    (r"mbarrier\.(?:try_wait|test_wait)\S*\s+(%?\w+),.*;", WAIT_TRUE,
     "wait passes at once"),
    (r"(cp\.async\.wait_group)\s+(\d+);", r"\1 7;", "wait for fewer groups"),
    (r"(cp\.async\.bulk\.wait_group\S*)\s+(\d+);", r"\1 7;",
     "wait for fewer groups"),
    (r"(wgmma\.wait_group\S*)\s+(\d+);", r"\1 7;", "wait for fewer groups"),
    (r"cp\.async\.wait_all;", None, "no wait"),
    (r"griddepcontrol\.wait;", None, "no wait for earlier kernels"),
    (r"(mbarrier\.arrive\.expect_tx\S*\s+.*,\s*)(\d+);",
     lambda m: f"{m.group(1)}{int(m.group(2)) + 16};", "expects more bytes"),
    (r"mbarrier\.arrive\.expect_tx\S*\s+.*;", None, "no arrival"),
    (r"mbarrier\.arrive\S*\s+.*;", None, "no arrival"),
    (r"(mbarrier\.init\S*\s+.*,\s*)(\d+);",
     lambda m: f"{m.group(1)}{int(m.group(2)) + 1};", "awaits one more"),
    (r"cp\.async\.mbarrier\.arrive\S*\s+.*;", None, "no arrival"),
    (r"cp\.async\.commit_group;", None, "no commit"),
    (r"cp\.async\.bulk\.commit_group;", None, "no commit"),
    (r"wgmma\.commit_group\S*;", None, "no commit"),
    (r"wgmma\.fence\S*;", None, "no fence"),
    (r"fence\.\S+;", None, "no fence"),
    (r"bar(?:rier)?\.(?:cta\.)?sync\S*\s+.*;", None, "no barrier"),
    (r"bar\.warp\.sync\s+.*;", None, "no barrier of the warp"),
)


def mutate(line):
    """The changed line and a word for it, or None."""
    for pattern, replacement, what in MUTATIONS:
        if re.search(pattern, line):
            text = re.sub(pattern, replacement or "", line, count=1)
            return text, what
    return None


Input = collections.namedtuple("Input", "tokens isFull")


class Case(GPULayer):
    """A layer, its inputs, and runs of it."""

    def __init__(self, build, folder, spec):
        super().__init__(len(spec.name), os.path.join(build, "bin"))
        self.spec = spec
        self.name = spec.name
        self.folder = folder
        self.library = os.path.join(folder, spec.name + ".so")
        dtype, hidden, inner, experts, top_k, shared = spec.layer
        self.create(dtype, "glu", hidden, inner, experts, top_k, False, shared)
        self.inputs = [Input(count, False) for count in spec.tokens]
        self.inputs += [Input(count, True) for count in spec.full]
        for count in {*spec.tokens, *spec.full}:
            st.save(self.file("in.%d" % count),
                    {"hidden_states": self.tensor((count, hidden), "F32")})

    def tool(self, name):
        return os.path.join(self.tools, name)

    def prepare(self):
        """Compiles; finds what each input computes, executes and takes."""
        common = [self.tool("moe-compile"), self.path, "--ptxas=none",
                  *self.spec.arguments]
        subprocess.run([*common, "-o", self.library], check=True,
                       stderr=subprocess.DEVNULL)
        ptx = os.path.join(self.folder, self.name + ".ptx")
        subprocess.run([*common, "--emit=ptx", "-o", ptx], check=True,
                       stderr=subprocess.DEVNULL)
        with open(ptx, encoding="utf-8") as file:
            self.lines = file.read().split("\n")
        self.expected, self.executed, self.seconds = {}, {}, {}
        for which in self.inputs:
            coverage = os.path.join(self.folder, self.name + ".coverage")
            start = time.monotonic()
            # With the text that is mutated: its lines are counted.
            error, output = self.run(ptx, 0, which, coverage, 600)
            if error:
                sys.exit(f"error: case {self.name} fails unchanged: {error}")
            self.seconds[which] = time.monotonic() - start
            self.expected[which] = output
            with open(coverage, encoding="utf-8") as file:
                self.executed[which] = {
                    int(number) for line in file
                    for number in line.split()[2:]}
            os.remove(coverage)
        self.inputs.sort(key=lambda which: self.seconds[which])

    def run(self, ptx, seed, which, coverage=None, timeout=None):
        """What went wrong or None, and the bytes of the output."""
        environment = dict(
            os.environ, MOE_EMULATOR_SEED=str(seed), MOE_EMULATOR_THREADS="1",
            MOE_EMULATOR_MULTIPROCESSORS=str(self.spec.multiprocessors),
            MOE_EMULATOR_REPORT=os.devnull)
        if ptx:
            environment["MOE_EMULATOR_PTX"] = ptx
        if coverage:
            environment["MOE_EMULATOR_COVERAGE"] = coverage
        device = "emulated-cuda"
        if self.spec.device:
            device += ":%d" % self.spec.device
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            output = os.path.join(folder, "out")
            command = [self.tool("moe-run"), self.library, "-q",
                       "--device=" + device, "--params=" + self.path,
                       "--input=" + self.file("in.%d" % which.tokens),
                       "--output=" + output]
            if which.isFull:
                command.append("--optional")
            try:
                result = subprocess.run(
                    command, env=environment, capture_output=True, text=True,
                    timeout=timeout or 20 + 20 * self.seconds[which])
            except subprocess.TimeoutExpired:
                return "no end", None
            if result.returncode:
                return result.stderr.strip() or "failed", None
            with open(output, "rb") as file:
                return None, file.read()

    def judge(self, number, text, seeds):
        """What becomes of line `number` (from 1) when it is `text`."""
        inputs = [which for which in self.inputs
                  if number in self.executed[which]]
        if not inputs:
            return "not executed"
        lines = list(self.lines)
        lines[number - 1] = text
        with tempfile.NamedTemporaryFile("w", suffix=".ptx", dir=self.folder,
                                         encoding="utf-8") as file:
            file.write("\n".join(lines))
            file.flush()
            for seed in range(seeds):
                for which in inputs:
                    error, output = self.run(file.name, seed, which)
                    if error:
                        return "no end" if error == "no end" else "reported"
                    if output != self.expected[which]:
                        return "other result"
        return "survived"

    def find_mutations(self, only):
        """(line, kernel, text, change) of the kernels that the case is for."""
        kernel = "?"
        for number, line in enumerate(self.lines, 1):
            entry = re.search(r"\.entry\s+(\w+)", line)
            if entry:
                kernel = entry.group(1)
            if (line.lstrip().startswith("//")
                    or not re.match(self.spec.kernels, kernel)):
                continue
            changed = mutate(line)
            label = f"{self.name}:{number} {kernel}: {line.strip()}"
            if changed and (not only or re.search(only, label)):
                yield number, kernel, *changed


def run_mutations(cases, options):
    rows = []
    for case in cases:
        case.prepare()
        mutations = list(case.find_mutations(options.only))
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            verdicts = pool.map(
                lambda m: case.judge(m[0], m[2], options.seeds), mutations)
            for mutation, verdict in zip(mutations, verdicts):
                number, kernel, _, what = mutation
                text = case.lines[number - 1].strip()
                rows.append({"case": case.name, "line": number,
                             "kernel": kernel, "text": text, "change": what,
                             "verdict": verdict})
                print(f"{verdict:12} {case.name}:{number} {kernel}: {text} "
                      f"({what})", flush=True)
        mine = [row for row in rows if row["case"] == case.name]
        print(f"{case.name}: {count_noticed(mine)} of {len(mine)} noticed",
              flush=True)
    noticed = count_noticed(rows)
    print(f"{noticed} of {len(rows)} mutations noticed")
    if options.table:
        with open(options.table, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    if not rows:
        sys.exit("error: nothing to mutate")
    return 0 if noticed * 100 >= options.threshold * len(rows) else 3


def count_noticed(rows):
    return sum(row["verdict"] not in ("survived", "not executed")
               for row in rows)


def run_schedules(cases, options):
    alarms = 0
    for case in cases:
        case.prepare()

        def run(seed, case=case):
            which = case.inputs[seed % len(case.inputs)]
            error, output = case.run(None, seed, which)
            if not error and output != case.expected[which]:
                error = "another result"
            return error

        seeds = range(1, options.seeds + 1)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for seed, error in zip(seeds, pool.map(run, seeds)):
                if error:
                    alarms += 1
                    print(f"{case.name}, seed {seed}: {error}", flush=True)
        print(f"{case.name}: {options.seeds} schedules", flush=True)
    print(f"{alarms} false alarms")
    return 3 if alarms else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "schedules"))
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="regular expression of mutations")
    parser.add_argument("--case", action="append", default=[],
                        help="name of a case; default: all")
    parser.add_argument("--table", help="JSON file for the verdicts")
    parser.add_argument("--threshold", type=float, default=95)
    options = parser.parse_args()
    names = [spec.name for spec in CASES]
    for name in options.case:
        if name not in names:
            parser.error(f"no case '{name}', expected {', '.join(names)}")
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case(os.path.abspath(options.build_dir), folder, spec)
                 for spec in CASES
                 if not options.case or spec.name in options.case]
        command = run_mutations if options.command == "run" else run_schedules
        return command(cases, options)


if __name__ == "__main__":
    sys.exit(main())
