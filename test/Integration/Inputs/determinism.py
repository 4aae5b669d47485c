# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Are results the same bits for any number of threads, on repeated runs, for
any CPU level and for rows that come alone or together?

    determinism.py MOE-RUN MODULE DIR INPUT OUTPUT...

INPUT is the input whose first dimension is cut, OUTPUT... the outputs that have
the same first dimension.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "Tools", "Inputs"))
import st  # noqa: E402

run, module, directory, cut, *outputs = sys.argv[1:]
scratch = tempfile.TemporaryDirectory()
golden = st.load(os.path.join(directory, "golden.safetensors"))


def compute(tensors, *flags):
    """Bytes of the output file for these inputs."""
    source = os.path.join(scratch.name, "in.safetensors")
    result = os.path.join(scratch.name, "out.safetensors")
    st.save(source, tensors)
    done = subprocess.run([run, module, "--params=" + directory, "-q",
                           "--input=" + source, "--output=" + result,
                           "--optional", *flags], stderr=subprocess.PIPE)
    if done.returncode == 4 and "--level=4" in flags:
        return None  # this CPU has no such level
    if done.returncode:
        sys.exit("%s: exit code %d: %s" % (flags, done.returncode,
                                           done.stderr.decode()))
    with open(result, "rb") as file:
        return file.read(), st.load(result)


def with_rows(tensors, rows):
    """`tensors` with `cut` made of these rows, in this order."""
    dtype, shape, data = tensors[cut]
    size = len(data) // shape[0]
    picked = bytearray().join(data[r * size:(r + 1) * size] for r in rows)
    return {**tensors, cut: (dtype, [len(rows)] + shape[1:], picked)}


def row_of(tensors, name, row):
    _, shape, data = tensors[name]
    size = len(data) // shape[0]
    return bytes(data[row * size:(row + 1) * size])


checks = 0


def require(what, truth):
    global checks
    checks += 1
    if not truth:
        sys.exit(what)


first, values = compute(golden, "--threads=1")
for flags in (["--threads=1"], ["--threads=2"], ["--threads=3"],
              ["--threads=4"], ["--threads=3", "--repeat=5"], ["--level=3"],
              ["--level=4"]):
    again = compute(golden, *flags)
    require("%s changes the bits" % flags, again is None or again[0] == first)

# Each row alone; then all of them many times over, so that other code for other
# numbers of rows gets its turn, in another order.
count = golden[cut][1][0]
for row in range(count):
    _, alone = compute(with_rows(golden, [row]))
    for name in outputs:
        require("row %d of %s alone has other bits" % (row, name),
                row_of(alone, name, 0) == row_of(values, name, row))
for total in (2, 5, 16, 33, 130):
    rows = [(7 * i + 3) % count for i in range(total)]
    for threads in ("1", "4"):
        _, many = compute(with_rows(golden, rows), "--threads=" + threads)
        for i, row in enumerate(rows):
            for name in outputs:
                require("row %d of %s among %d has other bits" %
                        (row, name, total),
                        row_of(many, name, i) == row_of(values, name, row))

# No rows at all.
_, none = compute(with_rows(golden, []))
for name in outputs:
    require("%s of no rows is not empty" % name,
            none[name][1] == [0] + values[name][1][1:] and not none[name][2])
print("%d checks passed" % checks)
