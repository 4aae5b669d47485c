# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints the manifest of a compiled library; knows nothing of the runtime.

    note.py FILE
"""
import hashlib
import struct
import sys

NONE = 0xFFFFFFFF
DTYPES = ["f32", "f16", "bf16", "i32", "i64", "f64", "u8"]
ROLES = ["input", "output", "optional", "state", "lengths", "count"]


def find_note(data):
    assert data[:4] == b"\x7fELF"
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, flags, offset = struct.unpack_from("<IIQ", data, phoff + i * size)
        length, = struct.unpack_from("<Q", data, phoff + i * size + 32)
        if kind != 4:
            continue
        at = offset
        while at < offset + length:
            names, desc, note = struct.unpack_from("<III", data, at)
            owner = data[at + 12:at + 12 + names]
            at += 12 + (names + 3 & ~3)
            if owner == b"moe\0" and note == 1:
                return at, desc
            at += desc + 3 & ~3
    raise SystemExit("no note")


def main(path):
    data = bytearray(open(path, "rb").read())
    start, length = find_note(data)
    note = bytes(data[start:start + length])
    (magic, major, minor, size, file_size, digest, *rest) = struct.unpack_from(
        "<8sIIQQ32s", note)
    strings = struct.unpack_from("<6I", note, 64)
    levels, reserved = struct.unpack_from("<II", note, 88)
    tables = struct.unpack_from("<10I", note, 96)
    max_length, vocabulary = struct.unpack_from("<qq", note, 136)
    tables += struct.unpack_from("<6I", note, 152)
    num_cpu_params, = struct.unpack_from("<I", note, 176)

    def text(offset, count):
        assert offset + count <= length
        return note[offset:offset + count].decode()

    def rows(index, form):
        offset, count = tables[2 * index:2 * index + 2]
        step = struct.calcsize(form)
        assert offset + step * count <= length
        return [struct.unpack_from(form, note, offset + i * step)
                for i in range(count)]

    data[start + 24:start + 64] = bytes(40)
    print("magic", magic.decode(), "abi", major, minor)
    print("sizes", size == length, file_size == len(data))
    print("hash", hashlib.sha256(data).digest() == digest)
    print("target", text(*strings[0:2]))
    print("compiler", text(*strings[2:4]))
    print("model", text(*strings[4:6]), "levels", levels, "max_length",
          max_length, "vocabulary", vocabulary)
    symbols = [text(*row) for row in rows(0, "<II")]
    print("symbols", *symbols)
    arguments = rows(2, "<6Iq" + "IIq" * 8)
    for f in rows(1, "<8I"):
        print("function", text(*f[0:2]), "code", *(
            "-" if x == NONE else x for x in f[4:8]))
        for a in arguments[f[2]:f[2] + f[3]]:
            extents = []
            for d in range(a[4]):
                symbol, _, value = a[7 + 3 * d:10 + 3 * d]
                extents.append(str(value) if symbol == NONE else
                               f"{value}*{symbols[symbol]}")
            line = [" ", ROLES[a[2]], text(*a[0:2]), DTYPES[a[3]],
                    "[" + ", ".join(extents) + "]"]
            print(*line, *([] if a[5] == NONE else ["count", a[5]]),
                  *([] if a[6] == 0 else ["limit", a[6]]))
    sources = rows(4, "<4I8Q4I")
    for number, p in enumerate(rows(3, "<8IQQII")):
        print("parameter", text(*p[0:2]))
        for i in range(2):
            print("  level", 3 + i if number < num_cpu_params else "device",
                  repr(text(*p[2 + 2 * i:4 + 2 * i])),
                  p[8 + i], "pack", "-" if p[10 + i] == NONE else p[10 + i])
        for s in sources[p[6]:p[6] + p[7]]:
            print("  source", text(*s[0:2]), DTYPES[s[2]], list(s[4:4 + s[3]]),
                  "first", s[12], "count", s[13], "part", s[14])
    kernels = rows(6, "<14I")
    images = rows(7, "<4I")
    for d in rows(5, "<10I"):
        print("device", text(*d[0:2]), "level", d[2], "exact", d[3],
              "parameters", d[4], "to", d[4] + d[5])
        for k in kernels[d[6]:d[6] + d[7]]:
            print("  kernel", text(*k[0:2]), "arguments", k[2], "block",
                  list(k[3:6]), "cluster", list(k[6:9]), "shared", *k[9:11],
                  "registers", k[11], "flags", k[12])
        for kind, _, offset, size in images[d[8]:d[8] + d[9]]:
            image = note[offset:offset + size]
            assert len(image) == size and note[offset + size] == 0
            print("  image", ["cubin", "ptx"][kind], "aligned",
                  offset % 16 == 0, "starts", image[:4] if kind == 0 else
                  image.split(b"\n")[4].decode())


main(sys.argv[1])
