# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes, prints and damages small safetensors files for tests.

st.py write FILE NAME DTYPE SHAPE VALUES ...   SHAPE 2x3 or "-", VALUES 1,2,nan
st.py show FILE                                one line per tensor
st.py set FILE NAME INDEX VALUE OUT            one element changed
st.py drop FILE NAME OUT                       one tensor left out
"""
import json
import struct
import sys

FORMATS = {"F32": "f", "F64": "d", "F16": "e", "I32": "i", "I64": "q"}


def encode(dtype, values):
    if dtype == "BF16":
        return b"".join(struct.pack("<f", float(v))[2:] for v in values)
    convert = float if dtype[0] == "F" else int
    return b"".join(struct.pack("<" + FORMATS[dtype], convert(v))
                    for v in values)


def decode(dtype, data):
    size = 2 if dtype == "BF16" else struct.calcsize(FORMATS[dtype])
    chunks = [data[i:i + size] for i in range(0, len(data), size)]
    if dtype == "BF16":
        return [struct.unpack("<f", b"\0\0" + c)[0] for c in chunks]
    return [struct.unpack("<" + FORMATS[dtype], c)[0] for c in chunks]


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    data = content[8 + size:]
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"],
                   data[t["data_offsets"][0]:t["data_offsets"][1]])
            for name, t in header.items()}


def main(command, path, *rest):
    if command == "write":
        tensors = {}
        for name, dtype, shape, values in zip(*[iter(rest)] * 4):
            tensors[name] = (
                dtype, [int(s) for s in shape.split("x")] if shape != "-" else [],
                encode(dtype, values.split(",") if values else []))
        write(path, tensors)
    elif command == "show":
        for name, (dtype, shape, raw) in read(path).items():
            print(name, dtype, shape, decode(dtype, raw))
    elif command == "set":
        name, index, value, out = rest
        tensors = read(path)
        dtype, shape, raw = tensors[name]
        values = decode(dtype, raw)
        values[int(index)] = value
        tensors[name] = (dtype, shape, encode(dtype, values))
        write(out, tensors)
    elif command == "drop":
        name, out = rest
        tensors = read(path)
        del tensors[name]
        write(out, tensors)
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
