import os
import re
import shutil
import subprocess
import sys

import lit.formats

config.name = "moe-mlir"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "fuzz"]
config.test_source_root = os.path.dirname(__file__)
config.environment["PATH"] = os.pathsep.join(
    [config.moe_tools_dir, config.llvm_tools_dir, config.environment["PATH"]])
config.environment["LC_ALL"] = "C"
# More of Integration/random-*.test than there is time for each time.
for name in ("MOE_RANDOM_CASES", "MOE_RANDOM_SEED"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
# The assembler for GPUs: of the environment, the CUDA toolkit, or where
# scripts/ptxas.sh lays it. Figures depend on its version.
ptxas = os.environ.get("MOE_PTXAS") or shutil.which("ptxas") or next(
    filter(lambda file: os.access(file, os.X_OK), [
        os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin",
                     "ptxas"),
        "/usr/local/cuda/bin/ptxas",
        os.path.join(config.moe_binary_dir, "cuda", "bin", "ptxas"),
    ]), "none")
config.environment["MOE_PTXAS"] = ptxas
if ptxas != "none":
    config.available_features.add("ptxas")
    ptxas_version = re.search("V([0-9.]+)", subprocess.run(
        [ptxas, "--version"], stdout=subprocess.PIPE, text=True,
        check=False).stdout)
    if ptxas_version:
        config.available_features.add("ptxas-" + ptxas_version[1])
# Programs that are built without it cannot link our libraries then.
if config.moe_sanitized:
    config.available_features.add("sanitized")
config.substitutions.append(("%moe_src", config.moe_source_dir))
config.substitutions.append(("%moe_build", config.moe_binary_dir))
config.substitutions.append(("%golden", os.path.join(
    config.moe_source_dir, "test", "golden")))
config.substitutions.append(("%demo", os.path.join(
    config.moe_source_dir, "models", "demo")))
config.substitutions.append(("%llvm_lib_dir", config.llvm_lib_dir))
config.substitutions.append(("%llvm_include_dir", config.llvm_include_dir))
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%cc", config.c_compiler))
config.substitutions.append(("%cxx", config.cxx_compiler))
