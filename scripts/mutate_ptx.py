#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures the emulator: breaks the synchronisation of generated kernels.

  scripts/mutate_ptx.py run [--build-dir DIR] [--seeds N] [--only REGEX]
                            [--table FILE] [--case NAME]...
  scripts/mutate_ptx.py schedules [--build-dir DIR] [--seeds N] [--case NAME]...

`run` takes every wait, fence, barrier, arrive, expect_tx and commit of a case's
PTX in turn, removes or alters that one line, and runs the case on the emulated
device under N random schedules. A mutation is noticed when a run fails or its
output differs from that of the unchanged text. `schedules` runs the unchanged
text under N schedules: none may fail, and all outputs must be equal.

Cases are layers of random weights; each uses other kernels. Exit codes: 0
done, 1 error, 2 wrong command line, 3 fewer than --threshold percent noticed or
a false alarm.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "Codegen", "GPU", "Inputs"))
from gpu_layers import GPULayer, st  # noqa: E402

# name; type of weights, H, I, E, k; arguments of moe-compile; device; numbers
# of tokens, each of which chooses other kernels.
CASES = (
    ("f32-sm_80", ("F32", 100, 68, 5, 2), ["--target=cuda:sm_80"], 1,
     (3, 70, 330)),
    ("bf16-sm_80", ("BF16", 264, 136, 5, 2),
     ["--target=cuda:sm_80", "--precision=bf16"], 1, (3, 70, 330)),
    ("bf16-sm_90a", ("BF16", 328, 264, 3, 2),
     ["--target=cuda:sm_90a", "--precision=bf16"], 0, (3, 40, 250)),
    # Columns of weights that go round a warp's ring more than once.
    ("decode-sm_90a", ("BF16", 8200, 16, 3, 2),
     ["--target=cuda:sm_90a", "--precision=bf16"], 0, (1, 4)),
    # More tiles than blocks: stages are used again for the next tile.
    ("persistent-sm_90a", ("BF16", 136, 136, 3, 2),
     ["--target=cuda:sm_90a", "--precision=bf16"], 0, (9000,)),
    # More slots than one block sorts, and more experts than a warp has lanes.
    ("plan-sm_80", ("F32", 8, 4, 40, 2), ["--target=cuda:sm_80"], 1,
     (3, 3000, 9000)),
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


class Case(GPULayer):
    """A layer, its inputs, and runs of it."""

    def __init__(self, build, folder, case):
        (self.name, layer, self.compile_arguments, self.device,
         self.tokens) = case
        super().__init__(len(self.name), os.path.join(build, "bin"))
        self.folder = folder
        self.library = os.path.join(folder, self.name + ".so")
        dtype, hidden, inner, experts, top_k = layer
        self.create(dtype, "glu", hidden, inner, experts, top_k, False)
        for count in self.tokens:
            st.save(self.file("in.%d" % count),
                    {"hidden_states": self.tensor((count, hidden), "F32")})

    def tool(self, name):
        return os.path.join(self.tools, name)

    def prepare(self):
        common = [self.tool("moe-compile"), self.path, "--ptxas=none",
                  *self.compile_arguments]
        subprocess.run([*common, "-o", self.library], check=True,
                       stderr=subprocess.DEVNULL)
        ptx = os.path.join(self.folder, self.name + ".ptx")
        subprocess.run([*common, "--emit=ptx", "-o", ptx], check=True,
                       stderr=subprocess.DEVNULL)
        with open(ptx, encoding="utf-8") as file:
            self.lines = file.read().split("\n")

    def run(self, ptx, seed, tokens, output):
        environment = dict(os.environ, MOE_EMULATOR_SEED=str(seed),
                           MOE_EMULATOR_REPORT=os.devnull)
        if ptx:
            environment["MOE_EMULATOR_PTX"] = ptx
        device = "emulated-cuda" + (f":{self.device}" if self.device else "")
        command = [self.tool("moe-run"), self.library, "-q",
                   "--device=" + device, "--params=" + self.path,
                   "--input=" + self.file("in.%d" % tokens),
                   "--output=" + output]
        try:
            return subprocess.run(command, env=environment, timeout=120,
                                  capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            return None

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def baseline(self):
        """The outputs of the unchanged text."""
        outputs = {}
        output = os.path.join(self.folder, self.name + ".base")
        for tokens in self.tokens:
            result = self.run(None, 0, tokens, output)
            if result is None or result.returncode:
                sys.exit(f"error: case {self.name} fails unchanged: "
                         f"{result.stderr.strip() if result else 'no end'}")
            outputs[tokens] = self.read(output)
        return outputs


def run_mutations(cases, options):
    rows = []
    for case in cases:
        case.prepare()
        expected = case.baseline()
        kernel = "?"
        for number, line in enumerate(case.lines, 1):
            entry = re.search(r"\.entry\s+(\w+)", line)
            if entry:
                kernel = entry.group(1)
            if line.lstrip().startswith("//"):
                continue
            changed = mutate(line)
            if not changed:
                continue
            text, what = changed
            label = f"{case.name}:{number} {kernel}: {line.strip()}"
            if options.only and not re.search(options.only, label):
                continue
            path = os.path.join(case.folder, "mutant.ptx")
            lines = list(case.lines)
            lines[number - 1] = text
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
            verdict = "survived"
            output = os.path.join(case.folder, "mutant.out")
            runs = [(seed, tokens) for seed in range(options.seeds)
                    for tokens in case.tokens]
            for seed, tokens in runs:
                if os.path.exists(output):
                    os.remove(output)
                result = case.run(path, seed, tokens, output)
                if result is None:
                    verdict = "timeout"
                elif result.returncode:
                    verdict = "reported"
                elif case.read(output) != expected[tokens]:
                    verdict = "other result"
                else:
                    continue
                break
            rows.append({"case": case.name, "line": number, "kernel": kernel,
                         "text": line.strip(), "change": what,
                         "verdict": verdict})
            print(f"{verdict:12} {label} ({what})", flush=True)
    noticed = sum(row["verdict"] != "survived" for row in rows)
    print(f"{noticed} of {len(rows)} mutations noticed")
    if options.table:
        with open(options.table, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    if not rows:
        sys.exit("error: nothing to mutate")
    return 0 if noticed * 100 >= options.threshold * len(rows) else 3


def run_schedules(cases, options):
    alarms = 0
    for case in cases:
        case.prepare()
        expected = case.baseline()
        output = os.path.join(case.folder, "schedule.out")
        for seed in range(1, options.seeds + 1):
            tokens = case.tokens[seed % len(case.tokens)]
            result = case.run(None, seed, tokens, output)
            if result is None or result.returncode:
                why = result.stderr.strip() if result else "no end"
            elif case.read(output) != expected[tokens]:
                why = "another result"
            else:
                continue
            alarms += 1
            print(f"{case.name}, seed {seed}: {why}", flush=True)
        print(f"{case.name}: {options.seeds} schedules")
    print(f"{alarms} false alarms")
    return 3 if alarms else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "schedules"))
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="regular expression of mutations")
    parser.add_argument("--case", action="append", default=[],
                        help="name of a case; default: all")
    parser.add_argument("--table", help="JSON file for the verdicts")
    parser.add_argument("--threshold", type=float, default=95)
    options = parser.parse_args()
    names = [case[0] for case in CASES]
    for name in options.case:
        if name not in names:
            parser.error(f"no case '{name}', expected {', '.join(names)}")
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case(os.path.abspath(options.build_dir), folder, case)
                 for case in CASES if not options.case or case[0] in options.case]
        command = run_mutations if options.command == "run" else run_schedules
        return command(cases, options)


if __name__ == "__main__":
    sys.exit(main())
