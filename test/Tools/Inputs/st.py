# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes and changes safetensors files for the tests.

    st.py make OUT NAME:DTYPE:SHAPE[=VALUES]...  shape and values like 2,3
    st.py edit IN OUT CHANGE...                  changes, in order:
        drop:NAME            without the tensor
        keep:NAME,NAME       only these
        flip:NAME:BIT        one bit of its bytes
        set:NAME:INDEX:VALUE one element ("nan", "inf" too)
        rows:NAME:A:B        rows A to B of its first dimension
        rename:OLD:NEW
        ids:NAME             an index tensor: I64 from I32 and back
    st.py show FILE [NAME]
    st.py equal A B NAME...      exit 1 if bytes or shapes differ
"""
import json
import struct
import sys

FORMATS = {"F32": "f", "F64": "d", "I32": "i", "I64": "q", "U8": "B"}


def load(path):
    data = open(path, "rb").read()
    n, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"],
                             bytearray(data[8 + n + begin:8 + n + end]))
    return tensors


def save(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += bytes(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)


def numbers(text, kind):
    return [kind(v) for v in text.split(",") if v]


def make(path, specs):
    tensors = {}
    for spec in specs:
        spec, _, values = spec.partition("=")
        name, dtype, shape = spec.rsplit(":", 2)
        shape = numbers(shape, int)
        count = 1
        for extent in shape:
            count *= extent
        kind = float if dtype.startswith("F") else int
        given = numbers(values, kind)
        if not values:
            given = [kind(i % 5) for i in range(count)]
        fmt = "<%d%s" % (count, FORMATS[dtype])
        tensors[name] = (dtype, shape, bytearray(struct.pack(fmt, *given)))
    save(path, tensors)


def unpack(tensor):
    dtype, _, data = tensor
    fmt = FORMATS[dtype]
    return struct.unpack("<%d%s" % (len(data) // struct.calcsize(fmt), fmt),
                         data)


def change(tensors, text):
    what, name, *rest = text.split(":")
    if what == "keep":
        return {n: tensors[n] for n in name.split(",")}
    dtype, shape, data = tensors[name]
    if what == "drop":
        del tensors[name]
    elif what == "flip":
        bit = int(rest[0])
        data[bit // 8] ^= 1 << bit % 8
    elif what == "set":
        fmt = "<" + FORMATS[dtype]
        kind = float if dtype.startswith("F") else int
        struct.pack_into(fmt, data, int(rest[0]) * struct.calcsize(fmt),
                         kind(rest[1]))
    elif what == "rows":
        first, last = int(rest[0]), int(rest[1])
        row = len(data) // shape[0]
        tensors[name] = (dtype, [last - first] + shape[1:],
                         data[first * row:last * row])
    elif what == "rename":
        del tensors[name]
        tensors[rest[0]] = (dtype, shape, data)
    elif what == "ids":
        values = unpack(tensors[name])
        to = "I64" if dtype == "I32" else "I32"
        tensors[name] = (to, shape, bytearray(
            struct.pack("<%d%s" % (len(values), FORMATS[to]), *values)))
    else:
        sys.exit("unknown change " + text)
    return tensors


def main(argv):
    if argv[0] == "make":
        make(argv[1], argv[2:])
    elif argv[0] == "edit":
        tensors = load(argv[1])
        for text in argv[3:]:
            tensors = change(tensors, text)
        save(argv[2], tensors)
    elif argv[0] == "show":
        for name, tensor in load(argv[1]).items():
            if len(argv) < 3 or name in argv[2:]:
                print(name, tensor[0], tensor[1],
                      " ".join("%.7g" % v for v in unpack(tensor)))
    elif argv[0] == "equal":
        a, b = load(argv[1]), load(argv[2])
        for name in argv[3:] or sorted(set(a) | set(b)):
            if a[name] != b[name]:
                sys.exit("%s differs" % name)


if __name__ == "__main__":
    main(sys.argv[1:])
