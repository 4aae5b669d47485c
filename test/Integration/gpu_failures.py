# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every failure of a CUDA driver is a status with a sentence.

gpu_failures.py MODULE MODEL OUTPUT EMPTY

The emulator's driver fails on request (MOE_EMULATOR_FAIL and others); EMPTY is
a library that exports nothing. Each line of the table: environment, exit code,
words that the one line on standard error must hold. No output is left behind,
and the CPU's code of the same file still runs.
"""
import os
import subprocess
import sys

module, model, output, empty = sys.argv[1:]
FAIL = "MOE_EMULATOR_FAIL"
CASES = (
    ({"MOE_CUDA_EMULATOR": output + ".none"}, 4,
     ("no CUDA driver", "cannot open shared object file")),
    ({"MOE_CUDA_EMULATOR": empty}, 4, (os.path.basename(empty),)),
    ({"MOE_EMULATOR_VERSION": "11000"}, 4,
     ("too old", "knows CUDA 11.0, 12.0 is needed")),
    ({"MOE_EMULATOR_DEVICES": "0"}, 4, ("no GPU",)),
    ({"MOE_EMULATOR_DEVICES": "1"}, 4, ("no cuda:1, the last is cuda:0",)),
    ({FAIL: "cuInit:1:999"}, 4, ("CUDA does not start", "999")),
    ({FAIL: "cuInit:1:100"}, 4, ("no GPU",)),
    ({FAIL: "cuDevicePrimaryCtxRetain:1:2"}, 4, ("OUT_OF_MEMORY",)),
    ({FAIL: "cuModuleLoadDataEx:1:999"}, 1, ("cuModuleLoadDataEx", "999")),
    ({FAIL: "cuModuleLoadDataEx:1:2"}, 4, ("memory",)),
    ({FAIL: "cuModuleLoadDataEx:1:222"}, 4, ("does not take", "PTX", "sm_80")),
    ({FAIL: "cuModuleGetFunction:2:500"}, 1, ("has no kernel",)),
    ({FAIL: "cuMemAlloc:1:2"}, 4,
     ("out of memory", "for parameter 'router.weight' of 640 bytes")),
    ({FAIL: "cuMemAlloc:3:2"}, 4, ("out of memory", "experts.up.weight")),
    ({FAIL: "cuMemAlloc:6:2"}, 4, ("out of memory", "copies of host tensors")),
    ({"MOE_EMULATOR_MEMORY": "30000"}, 4, ("out of memory",)),
    ({FAIL: "cuMemHostAlloc:1:2"}, 4, ("cuMemHostAlloc",)),
    ({FAIL: "cuStreamCreate:1:2"}, 4, ("cuStreamCreate",)),
    ({FAIL: "cuMemcpyHtoDAsync:2:700"}, 1,
     ("cuMemcpyHtoDAsync", "CUDA_ERROR_ILLEGAL_ADDRESS")),
    ({FAIL: "cuMemcpyDtoHAsync:1:700"}, 1, ("cuMemcpyDtoHAsync",)),
    ({FAIL: "cuMemsetD8Async:1:700"}, 1, ("cuMemsetD8Async",)),
    ({FAIL: "cuStreamSynchronize:1:719"}, 1, ("CUDA_ERROR_LAUNCH_FAILED",)),
    ({FAIL: "cuLaunchKernelEx:1:701"}, 1,
     ("launch of kernel", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES")),
    ({FAIL: "cuLaunchKernelEx:3:719"}, 1,
     ("launch of kernel", "CUDA_ERROR_LAUNCH_FAILED")),
)


def run(device, environment):
    data = os.path.join(model, "golden.safetensors")
    return subprocess.run(
        ["moe-run", module, "-q", "--device=" + device, "--params=" + model,
         "--input=" + data, "--output=" + output],
        env=dict(os.environ, **environment), capture_output=True, text=True,
        check=False, timeout=120)


failures = 0
for environment, code, words in CASES:
    result = run("emulated-cuda:1", environment)
    lines = result.stderr.splitlines()
    problems = []
    if result.returncode != code:
        problems.append(f"exit code {result.returncode}, expected {code}")
    if len(lines) != 1 or not lines[0].startswith("error: "):
        problems.append("not one error line")
    problems += [f"no '{word}'" for word in words if word not in result.stderr]
    if os.path.exists(output):
        problems.append("an output was left behind")
        os.remove(output)
    if problems:
        failures += 1
        print(f"{environment}: {'; '.join(problems)}\n{result.stderr}")
    again = run("cpu", environment)
    if again.returncode:
        failures += 1
        print(f"{environment}: the CPU's code fails too: {again.stderr}")
    else:
        os.remove(output)
print(f"{len(CASES)} cases, {failures} failures")
sys.exit(failures != 0)
