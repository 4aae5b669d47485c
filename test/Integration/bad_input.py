#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Feeds the tools what a stranger may feed them.

    bad_input.py TOOLS-FOLDER GOLDEN-FOLDER SCRATCH-FOLDER [SECTION...]
    bad_input.py ... --only=REGEX [--verbose]

Every case is one command in an empty folder with an empty TMPDIR. A bad one
must end with the exit code that is documented for it and one `error: ` line
that holds the given words (for .mlir files: MLIR's own diagnostics will do),
and write nothing. An odd but valid one must give what the plain one gives.
All of them: no signal, less than 20 s, less than 1 GiB of memory, at most
64 KiB of error text without control characters, nothing left lying about, no
input changed.
"""
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

SECONDS = 20
MEMORY = 1 << 30
STDERR = 64 << 10
SEED = 20240229


#===----------------------------------------------------------------------===#
# Running
#===----------------------------------------------------------------------===#

class Sweep:
    def __init__(self, tools, scratch, only, verbose):
        self.tools, self.scratch = tools, scratch
        self.only = re.compile(only) if only else None
        self.verbose = verbose
        self.work = os.path.join(scratch, "work")
        self.temporary = os.path.join(scratch, "tmp")
        self.passed, self.failures, self.names = 0, [], set()
        self.most_memory = (0, "")
        with open(os.path.join(tools, "moe-run"), "rb") as file:
            self.is_sanitized = b"__asan_init" in file.read()

    def wants(self, name):
        if name in self.names:
            raise RuntimeError("two cases are named " + name)
        self.names.add(name)
        return not self.only or self.only.search(name)

    def execute(self, command, env=None, stdin=subprocess.DEVNULL,
                stdout=None, limits=(), close=()):
        """Returns (exit code, stdout, stderr, list of broken promises)."""
        for folder in (self.work, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        environment = dict(os.environ, TMPDIR=self.temporary)
        if env is not None:
            environment = env
        program = os.path.join(self.tools, command[0])

        def prepare():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for what, value in limits:
                resource.setrlimit(what, (value, value))
            for fd in close:
                os.close(fd)

        paths = [os.path.join(self.scratch, n) for n in ("stdout", "stderr")]
        with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
            start = time.monotonic()
            process = subprocess.Popen(
                [program] + command[1:], cwd=self.work, env=environment,
                stdin=stdin, stdout=stdout or out, stderr=err,
                preexec_fn=prepare)
            broken = []
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() - start > SECONDS * (
                        10 if self.is_sanitized else 1):
                    broken.append(f"ran for more than {SECONDS} s")
                    os.kill(process.pid, signal.SIGKILL)
                    _, status, usage = os.wait4(process.pid, 0)
                    break
                time.sleep(0.002)
            process.returncode = 0
        code = os.waitstatus_to_exitcode(status)
        with open(paths[0], "rb") as out, open(paths[1], "rb") as err:
            out, err = out.read(), err.read()
        if code < 0 or code > 125:
            broken.append(f"ended by signal {-code}" if code < 0 else
                          f"exit code {code}")
        memory = usage.ru_maxrss * 1024
        self.most_memory = max(self.most_memory, (memory, command[0]))
        if memory > MEMORY and not self.is_sanitized:
            broken.append(f"took {memory >> 20} MiB")
        if len(err) > STDERR:
            broken.append(f"{len(err)} bytes on stderr")
        if any(b < 32 and b not in b"\n\t" or b == 127 for b in err):
            broken.append("control characters on stderr")
        if os.listdir(self.temporary):
            broken.append("left in TMPDIR: " +
                          " ".join(os.listdir(self.temporary)))
        return code, out, err.decode(errors="surrogateescape"), broken

    def finish(self, name, command, err, broken):
        if self.verbose:
            print(f"{name}: {' '.join(command)}\n    {err.strip()[:400]}")
        if broken:
            self.failures.append(name)
            shown = ascii(" ".join(command))[1:-1]
            print(f"FAIL {name}: {'; '.join(broken)}\n  {shown[:400]}\n"
                  f"  {ascii(err)[:600]}")
        else:
            self.passed += 1

    def bad(self, name, command, text="", code=1, mlir=False, **options):
        """A command that must be refused with words that hold `text`."""
        if not self.wants(name):
            return
        got, out, err, broken = self.execute(command, **options)
        if got != code:
            broken.append(f"exit code {got}, expected {code}")
        lines = err.splitlines()
        errors = [l for l in lines if l.startswith("error: ")]
        if mlir and not errors:
            if not any(": error: " in l for l in lines):
                broken.append("no diagnostic")
        elif len(errors) != 1 or len(lines) != 1:
            broken.append(f"{len(errors)} error lines of {len(lines)}")
        for part in [text] if isinstance(text, str) else text:
            if part.lower() not in err.lower():
                broken.append(f"nothing about '{part}'")
        if code != 2 and out and not mlir:
            broken.append("text on stdout")
        if os.listdir(self.work):
            broken.append("left behind: " + " ".join(os.listdir(self.work)))
        self.finish(name, command, err, broken)

    def good(self, name, command, output=None, same=None, **options):
        """A command that must succeed; its file `output`, or what it prints if
        None, must be the bytes `same`."""
        if not self.wants(name):
            return
        got, out, err, broken = self.execute(command, **options)
        if got:
            broken.append(f"exit code {got}")
        else:
            if output:
                path = os.path.join(self.work, output)
                if not os.path.exists(path):
                    broken.append("no output")
                    out = b""
                else:
                    out = read(path)
                    os.remove(path)
            if same is not None and out != same:
                broken.append("another result")
        if os.listdir(self.work):
            broken.append("left behind: " + " ".join(os.listdir(self.work)))
        self.finish(name, command, err, broken)

    def right_or_refused(self, name, command, output=None, same=None):
        """Either of the two; a wrong result is neither."""
        if not self.wants(name):
            return
        got, _, err, broken = self.execute(command)
        self.names.discard(name)
        if broken:
            self.finish(name, command, err, broken)
        elif got == 0:
            self.good(name, command, output, same)
        else:
            self.bad(name, command)

    def must(self, command, output=None):
        """Runs what the cases build upon."""
        got, out, err, broken = self.execute(command)
        if got or broken:
            sys.exit(f"{' '.join(command)}: {got} {broken}\n{err}")
        return read(os.path.join(self.work, output)) if output else out


#===----------------------------------------------------------------------===#
# Files
#===----------------------------------------------------------------------===#

def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


def parse_st(data):
    size, = struct.unpack_from("<Q", data)
    return json.loads(data[8:8 + size]), data[8 + size:]


def make_st(header, data, pad=b"", separators=(",", ":")):
    text = header if isinstance(header, bytes) else json.dumps(
        header, separators=separators).encode()
    text += pad
    return struct.pack("<Q", len(text)) + text + data


def tensors_of(data):
    header, body = parse_st(data)
    return {n: (v["dtype"], v["shape"], body[slice(*v["data_offsets"])])
            for n, v in header.items() if n != "__metadata__"}


def from_tensors(tensors, metadata=None, **options):
    header, body = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    return make_st(header, body, **options)


def fingerprint(folder):
    sums = {}
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            if os.path.isfile(file) and os.path.getsize(file) < 1 << 30:
                sums[file] = hashlib.sha256(read(file)).digest()
    return sums


def pick(header):
    """A tensor in the middle of the file."""
    names = [n for n in header if n != "__metadata__"]
    return names[len(names) // 2]


def malformed(original):
    """Yields (name, bytes) that are no safetensors file."""
    header, body = parse_st(original)
    text = original[8:8 + struct.unpack_from("<Q", original)[0]]
    name = pick(header)

    def edit(**fields):
        changed = json.loads(json.dumps(header))
        for field, value in fields.items():
            if value is None:
                del changed[name][field]
            else:
                changed[name][field] = value
        return make_st(changed, body)

    begin, end = header[name]["data_offsets"]
    shape = header[name]["shape"]
    yield "empty", b""
    yield "seven-bytes", original[:7]
    yield "eight-bytes", original[:8]
    yield "length-zero", struct.pack("<Q", 0) + original[8:]
    yield "length-over-file", struct.pack("<Q", len(original)) + original[8:]
    yield "length-over-limit", struct.pack("<Q", 100000001) + original[8:]
    for shown, length in (("max", 2**64 - 1), ("wraps", 2**64 - 8),
                          ("negative", 2**63)):
        yield "length-" + shown, struct.pack("<Q", length) + original[8:]
    yield "cut-in-header", original[:8 + len(text) // 2]
    yield "cut-in-data", original[:-1]
    yield "byte-more", original + b"\0"
    yield "not-utf8", original.replace(name.encode(),
                                       b"\xff" + name.encode()[1:])
    yield "array", make_st(b"[1]", b"")
    yield "null", make_st(b"null", b"")
    yield "trailing-text", make_st(text + b"x", body)
    yield "trailing-nul", make_st(text + b"\0\0", body)
    yield "bom", make_st(b"\xef\xbb\xbf" + text, body)
    yield "comment", make_st(b"/* */" + text, body)
    yield "nested", make_st(b"[" * 100000, b"")
    yield "nested-object", make_st(b'{"a":' * 100000, b"")
    yield "doubled", make_st(text[:-1] + b"," + text[1:], body)
    yield "doubled-field", make_st(text.replace(
        b'"dtype":"', b'"dtype":"F32","dtype":"', 1), body)
    entry = json.dumps(header[name], separators=(",", ":")).encode()
    yield "entry-is-list", make_st(text.replace(entry, b"[1,2]", 1), body)
    yield "entry-is-empty", make_st(text.replace(entry, b"{}", 1), body)
    yield "no-dtype", edit(dtype=None)
    yield "no-shape", edit(shape=None)
    yield "no-offsets", edit(data_offsets=None)
    yield "dtype-number", edit(dtype=7)
    yield "dtype-unknown", edit(dtype="F99")
    yield "shape-text", edit(shape="2,3")
    yield "shape-fraction", edit(shape=[s + 0.5 for s in shape])
    yield "shape-negative", edit(shape=[-s for s in shape])
    yield "shape-2to64", edit(shape=[2**64] + shape[1:])
    yield "shape-overflow", edit(shape=[2**32, 2**32])
    yield "shape-overflow-bytes", edit(shape=[2**62, 1])
    yield "shape-overflow-wraps-right", edit(
        shape=[2**33, 2**31] + shape, data_offsets=[begin, end])
    yield "shape-rank-100", edit(shape=shape + [1] * 100)
    yield "shape-too-large", edit(shape=[shape[0] + 1] + shape[1:])
    yield "offsets-reversed", edit(data_offsets=[end, begin])
    yield "offsets-outside", edit(data_offsets=[begin + len(body),
                                                end + len(body)])
    yield "offsets-overlap", edit(data_offsets=[begin - 4, end - 4])
    yield "offsets-hole", edit(data_offsets=[begin + 4, end + 4])
    yield "offsets-three", edit(data_offsets=[begin, end, end])
    yield "offsets-text", edit(data_offsets=[str(begin), str(end)])
    yield "offsets-negative", edit(data_offsets=[-4, end - begin - 4])
    yield "offsets-2to64", edit(data_offsets=[2**64 - 4, end])
    yield "offsets-huge", edit(data_offsets=[begin, 10**40])
    yield "metadata-list", make_st(
        text.replace(text[:1], b'{"__metadata__":[1],', 1).replace(
            b'"__metadata__":{"format":"pt"},', b"", 1), body)
    yield "lfs-pointer", (b"version https://git-lfs.github.com/spec/v1\n"
                          b"oid sha256:" + b"0" * 64 + b"\nsize 230408\n")
    yield "pickle", b"\x80\x04\x95" + b"\0" * 100
    yield "zip", b"PK\x03\x04" + b"\0" * 100
    yield "gguf", b"GGUF\x03\0\0\0" + b"\0" * 100
    yield "html", b"<!DOCTYPE html><html>404 not found</html>\n"
    yield "escape-in-name", original.replace(
        name.encode(), b"\\u001b[31m" + name.encode()[10:], 1)


def odd_but_valid(original):
    """Yields (name, bytes) that hold the same tensors."""
    header, body = parse_st(original)
    tensors = tensors_of(original)
    some = pick(header)
    yield "padding", make_st(header, body, pad=b" " * 1000)
    yield "spaces", make_st(header, body, separators=(" , ", " : "))
    for pad in range(1, 8, 3):
        yield f"unaligned-{pad}", make_st(header, body, pad=b" " * pad)
    yield "order", from_tensors(dict(sorted(tensors.items(), reverse=True)))
    shuffled = list(header.items())
    random.Random(SEED).shuffle(shuffled)
    yield "keys-shuffled", make_st(dict(shuffled), body)
    yield "fields-first", make_st(
        {n: dict(reversed(v.items())) for n, v in header.items()}, body)
    text = json.dumps(header, separators=(",", ":"))
    escaped = "".join("\\u%04x" % ord(c) for c in some)
    yield "escaped-name", make_st(text.replace(some, escaped).encode(), body)
    yield "no-metadata", from_tensors(tensors)
    yield "large-metadata", from_tensors(tensors, {"x" * 50: "y" * (1 << 20)})
    yield "odd-metadata", from_tensors(tensors, {"\u00fc": "\n\x1b[31m"})


#===----------------------------------------------------------------------===#
# Sections
#===----------------------------------------------------------------------===#

class Inputs:
    """A model, its library and its results, made once."""

    def __init__(self, sweep, golden):
        self.golden = golden
        self.model = os.path.join(golden, "models", "mixtral")
        self.layer = os.path.join(golden, "layers", "two-experts")
        self.base = os.path.join(sweep.scratch, "inputs")
        self.checkpoint = read(self.model + "/model.safetensors")
        self.config = json.loads(read(self.model + "/config.json"))
        self.tensors = tensors_of(self.checkpoint)
        self.expected = tensors_of(read(self.model + "/golden.safetensors"))
        self.input = self.file("input.safetensors", from_tensors(
            {"other": ("F64", [], bytes(8)),
             "input_ids": self.expected["input_ids"]}, {"format": "pt"}))
        compile_ = ["moe-compile", "-O0", "--target=cpu:x86-64-v3"]
        self.so = self.file("model.so", sweep.must(
            compile_ + [self.model, "-o", "x.so"], "x.so"))
        self.layer_so = self.file("layer.so", sweep.must(
            compile_ + [self.layer, "-o", "x.so"], "x.so"))
        self.mlir = sweep.must(["moe-import", self.model, "-o", "-"])
        self.layer_mlir = self.file("layer.mlir", sweep.must(
            ["moe-import", self.layer, "-o", "-"]))
        self.bytecode = self.file("layer.mlirbc", sweep.must(
            ["moe-opt", self.layer_mlir, "--emit-bytecode", "-o", "x"], "x"))
        self.result = sweep.must(
            ["moe-run", self.so, "--params", self.model, "--input", self.input,
             "--output", "y"], "y")
        sweep.must(["moe-run", self.so, "--params", self.model, "--input",
                    self.input, "--expect", self.model +
                    "/golden.safetensors"])

    def file(self, name, data):
        return write(os.path.join(self.base, name), data)

    def folder(self, name, weights=None, config=None):
        """A model directory; None: as the original, False: no such file."""
        folder = os.path.join(self.base, name)
        os.makedirs(folder)
        for file, data, original in (
                ("model.safetensors", weights, self.checkpoint),
                ("config.json", config, json.dumps(self.config))):
            if data is not False:
                write(os.path.join(folder, file),
                      original if data is None else data)
        return folder

    def run(self, params=None, input=None, so=None, output=True):
        return (["moe-run", so or self.so, "--params", params or self.model,
                 "--input", input or self.input] +
                (["--output", "y"] if output else []))


def import_(folder):
    return ["moe-import", folder, "-o", "x.mlir"]


def check_safetensors(s, i):
    for name, data in malformed(i.checkpoint):
        folder = i.folder("st-" + name, data)
        s.bad("st/import/" + name, import_(folder), "model.safetensors")
        s.bad("st/params/" + name, i.run(folder), "st-" + name)
    for name, data in malformed(read(i.input)):
        file = i.file(f"in-{name}.safetensors", data)
        s.bad("st/input/" + name, i.run(input=file), f"in-{name}.safetensors")
    for name, data in odd_but_valid(i.checkpoint):
        folder = i.folder("odd-" + name, data)
        s.good("st/odd/import/" + name, import_(folder), "x.mlir", i.mlir)
        s.good("st/odd/params/" + name, i.run(folder), "y", i.result)
    for name, data in odd_but_valid(read(i.input)):
        file = i.file(f"odd-{name}.safetensors", data)
        s.good("st/odd/input/" + name, i.run(input=file), "y", i.result)

    # Whole files that hold the wrong tensors.
    w = "model.layers.1.block_sparse_moe.experts.3.w2.weight"
    dtype, shape, data = i.tensors[w]
    for name, tensor in (
            ("transposed", (dtype, shape[::-1], data)),
            ("flat", (dtype, [shape[0] * shape[1]], data)),
            ("unit", (dtype, [1] + shape, data)),
            ("kind", ("I32", shape, data)),
            ("width", ("F64", [shape[0], shape[1] // 2], data)),
            ("empty", (dtype, [0] + shape[1:], b"")),
            ("missing", None)):
        tensors = dict(i.tensors)
        tensors.pop(w) if tensor is None else tensors.update({w: tensor})
        folder = i.folder("tensor-" + name, from_tensors(tensors))
        s.bad("st/import/tensor-" + name, import_(folder), w)
        s.bad("st/params/tensor-" + name, i.run(folder), w)
    extra = dict(i.tensors)
    extra["model.layers.0.self_attn.rotary_emb.inv_freq"] = (
        "F32", [4], bytes(16))
    folder = i.folder("extra", from_tensors(extra))
    s.good("st/odd/import/extra", import_(folder), "x.mlir", i.mlir)
    s.good("st/odd/params/extra", i.run(folder), "y", i.result)
    values = dict(i.tensors)
    values[w] = (dtype, shape, struct.pack("<f", float("nan")) * (len(data) // 4))
    folder = i.folder("nan", from_tensors(values))
    s.good("st/odd/params/nan", i.run(folder, output=False))

    # What is no regular file.
    def place(name, make):
        folder = i.folder("kind-" + name, False)
        make(os.path.join(folder, "model.safetensors"))
        s.bad("st/import/kind-" + name, import_(folder), "model.safetensors")
        s.bad("st/params/kind-" + name, i.run(folder), "model.safetensors")
        file = os.path.join(folder, "model.safetensors")
        s.bad("st/input/kind-" + name, i.run(input=file), "model.safetensors")
        s.bad("st/params-file/kind-" + name, i.run(file), "model.safetensors")

    def sparse(path):
        write(path, i.checkpoint)
        os.truncate(path, 1 << 40)

    place("folder", os.mkdir)
    place("fifo", os.mkfifo)
    place("zero", lambda p: os.symlink("/dev/zero", p))
    place("dangling", lambda p: os.symlink("nowhere", p))
    place("circular", lambda p: os.symlink("model.safetensors", p))
    place("sparse", sparse)
    links = i.folder("links", False, False)
    for name in ("model.safetensors", "config.json"):
        os.makedirs(i.base + "/blobs", exist_ok=True)
        shutil.copy(os.path.join(i.model, name), i.base + "/blobs/" + name)
        os.symlink("../blobs/" + name, os.path.join(links, name))
    s.good("st/odd/import/links", import_(links), "x.mlir", i.mlir)
    s.good("st/odd/params/links", i.run(links), "y", i.result)


def check_config(s, i):
    text = json.dumps(i.config)

    def refuse(name, data, text=""):
        folder = i.folder("config-" + name, config=data)
        s.bad("config/import/" + name, import_(folder), ["config.json", text])
        s.bad("config/compile/" + name,
              ["moe-compile", folder, "-o", "x.so"], ["config.json", text])

    def accept(name, data):
        folder = i.folder("config-odd-" + name, config=data)
        s.good("config/odd/" + name, import_(folder), "x.mlir", i.mlir)

    def changed(**fields):
        return json.dumps(dict(i.config, **fields))

    refuse("empty", "")
    refuse("space", "  \n")
    refuse("nul", "\0" * 100)
    refuse("binary", bytes(range(256)))
    refuse("array", "[]")
    refuse("string", '"mixtral"')
    refuse("cut", text[:-1])
    refuse("trailing", text + "{}")
    refuse("comma", text[:-1] + ",}")
    refuse("comment", "// x\n" + text)
    refuse("utf16", text.encode("utf-16"))
    refuse("latin1", text.replace("silu", "sil\u00fc").encode("latin-1"))
    refuse("surrogate", text.replace("silu", "\\ud800"))
    refuse("nan", text.replace("1e-05", "NaN"))
    refuse("infinite", text.replace("1e-05", "1e999"))
    refuse("minus-infinite", text.replace("1e-05", "-Infinity"))
    refuse("leading-zero", text.replace('"hidden_size": 40',
                                        '"hidden_size": 040'), "")
    refuse("hex", text.replace('"hidden_size": 40', '"hidden_size": 0x28'))
    refuse("doubled", text[:-1] + ',"hidden_size":40}', "hidden_size")
    refuse("nested", "[" * 200000)
    refuse("nested-value", text[:-1] + ',"x":' + "[" * 129 + "]" * 129 + "}")
    refuse("huge", "{" + " " * (65 << 20) + text[1:])
    refuse("number-of-digits", text.replace(
        '"hidden_size": 40', '"hidden_size": 4' + "0" * 100000))
    refuse("escape", changed(hidden_act="\x1b[31m\r\b"), "hidden_act")
    refuse("long-value", changed(hidden_act="x" * 1000000), "hidden_act")
    refuse("not-a-model", "{}", "model_type")
    refuse("layers-absurd", changed(num_hidden_layers=2**31 - 1),
           "num_hidden_layers")
    refuse("experts-absurd", changed(num_local_experts=2**40),
           "num_local_experts")
    refuse("experts-minus", changed(num_local_experts=-1),
           "num_local_experts")
    refuse("vocab-2to63", changed(vocab_size=2**63), "vocab_size")
    refuse("vocab-2to64", changed(vocab_size=2**64), "vocab_size")
    refuse("window-text", changed(sliding_window="4096"), "sliding_window")
    refuse("remote-code", changed(model_type="evil", auto_map={
        "AutoModel": "evil--x"}), "model_type")
    for field, value, tensor in (
            ("vocab_size", 100, "embed_tokens"),
            ("hidden_size", 80, ""), ("intermediate_size", 25, "w1"),
            ("num_local_experts", 7, "gate"),
            ("num_key_value_heads", 1, "k_proj"),
            ("num_hidden_layers", 9999, "layers.2")):
        folder = i.folder("config-" + field, config=changed(**{field: value}))
        s.bad("config/import/disagrees-" + field, import_(folder), tensor)

    accept("unknown-keys", changed(my_key=[1, {"a": None}], zz=1e300))
    accept("crlf", json.dumps(i.config, indent=2).replace("\n", "\r\n"))
    accept("order", json.dumps(dict(reversed(i.config.items()))))
    accept("null", changed(head_dim=None, rope_scaling=None, sliding_window=None,
                           quantization_config=None))
    accept("exponent", text.replace("1000000.0", "1E+6").replace(
        "1e-05", "0.00001"))
    accept("integer-for-float", text.replace("1000000.0", "1000000"))
    folder = i.folder("config-whole", config=text.replace(
        '"hidden_size": 40', '"hidden_size": 40.0'))
    s.right_or_refused("config/odd/float-for-integer", import_(folder),
                       "x.mlir", i.mlir)
    accept("escapes", text.replace('"hidden_size"', '"\\u0068idden_size"'))
    newer = dict(i.config, dtype=i.config["torch_dtype"],
                 rope_parameters={"rope_theta": 1e6, "rope_type": "default"})
    del newer["torch_dtype"], newer["rope_theta"]
    accept("newer-names", json.dumps(newer))
    accept("auto-map", changed(auto_map={"AutoModel": "evil--x.Model"}))


def check_index(s, i):
    names = list(i.tensors)
    half = len(names) // 2
    parts = {"a.safetensors": names[:half], "b.safetensors": names[half:]}
    whole = {n: f for f, group in parts.items() for n in group}

    def folder(name, index, drop=()):
        path = i.folder("index-" + name, False)
        for file, group in parts.items():
            if file not in drop:
                write(os.path.join(path, file), from_tensors(
                    {n: i.tensors[n] for n in group}))
        if not isinstance(index, (bytes, str)):
            index = json.dumps({"metadata": {}, "weight_map": index})
        write(os.path.join(path, "model.safetensors.index.json"), index)
        return path

    def refuse(name, index, text="index.json", drop=(), change=None):
        path = folder(name, index, drop)
        if change:
            change(path)
        s.bad("index/import/" + name, import_(path), text)
        s.bad("index/params/" + name, i.run(path), text)

    outside = write(os.path.join(i.base, "outside.safetensors"),
                    from_tensors(i.tensors))
    refuse("empty", "")
    refuse("array", "[]")
    refuse("cut", json.dumps({"weight_map": whole})[:-5])
    refuse("nested", '{"weight_map":' * 100000)
    refuse("no-map", '{"metadata":{}}')
    refuse("map-list", '{"weight_map":[]}')
    refuse("map-text", '{"weight_map":"a.safetensors"}')
    refuse("doubled", '{"weight_map":{"%s":"a.safetensors","%s":'
           '"b.safetensors"}}' % (names[0], names[0]))
    for shown, shard in (
            ("number", 3), ("empty-name", ""), ("absolute", outside),
            ("parent", "../outside.safetensors"),
            ("parent-inside", "x/../../outside.safetensors"),
            ("dots", ".."), ("nul", "a.safetensors\0.txt"),
            ("url", "https://example.com/a.safetensors"),
            ("file-url", "file:///etc/passwd"),
            ("backslash", "..\\outside.safetensors"),
            ("long", "x" * 5000),
            ("newline", "a\n\x1b[31m.safetensors"),
            ("self", ".")):
        refuse("name-" + shown, dict(whole, **{names[0]: shard}),
               names[0] if shown == "number" else "")
    refuse("shard-missing", whole, "b.safetensors", drop=["b.safetensors"])
    refuse("shard-cut", whole, "b.safetensors", change=lambda p: os.truncate(
        os.path.join(p, "b.safetensors"), 5000))
    refuse("shard-folder", whole, "b.safetensors", drop=["b.safetensors"],
           change=lambda p: os.mkdir(os.path.join(p, "b.safetensors")))
    refuse("shard-fifo", whole, "b.safetensors", drop=["b.safetensors"],
           change=lambda p: os.mkfifo(os.path.join(p, "b.safetensors")))
    refuse("shard-wrong", dict(whole, **{names[0]: "b.safetensors"}), names[0])
    partial = dict(whole)
    del partial[names[-1]]
    refuse("tensor-unmapped", partial, names[-1])

    def accept(name, index, change=None):
        path = folder(name, index)
        if change:
            change(path)
        s.good("index/odd/import/" + name, import_(path), "x.mlir", i.mlir)
        s.good("index/odd/params/" + name, i.run(path), "y", i.result)

    accept("plain", whole)
    accept("total-size", json.dumps({"metadata": {"total_size": 2**70},
                                     "weight_map": whole}))
    accept("no-metadata", json.dumps({"weight_map": whole}))
    accept("unmapped-shard", whole, lambda p: write(
        p + "/c.safetensors", b"no safetensors"))
    accept("tensor-twice", whole, lambda p: write(
        p + "/b.safetensors", from_tensors(
            {n: i.tensors[n] if n in parts["b.safetensors"] else
             (i.tensors[n][0], i.tensors[n][1], bytes(len(i.tensors[n][2])))
             for n in names[half:] + names[:1]})))
    accept("many-shards", {n: f"s{k}.safetensors"
                           for k, n in enumerate(names)},
           lambda p: [write(f"{p}/s{k}.safetensors", from_tensors(
               {n: i.tensors[n]})) for k, n in enumerate(names)])


def check_mlir(s, i):
    def refuse(name, data, text="", flags=(), tools="oc", ours=False):
        file = i.file(f"ir-{name}.mlir", data)
        if "o" in tools:
            s.bad("mlir/opt/" + name, ["moe-opt", file, *flags], text,
                  mlir=not ours)
        if "c" in tools:
            s.bad("mlir/compile/" + name,
                  ["moe-compile", file, "-o", "x.so"], text, mlir=not ours)

    layer = read(i.layer_mlir).decode()
    for n, text in (("regions", '"a.b"() ({' * 5000),
                    ("attributes", '"a.b"() {a = ' + "[" * 20000),
                    ("dictionaries", '"a.b"() {a = ' + "{a = " * 20000),
                    ("types", '"a.b"() : () -> ' + "tuple<" * 50000),
                    ("functions", '"a.b"() : ' + "(" * 50000),
                    ("affine", "#m = affine_map<(d0) -> (" + "(" * 50000),
                    ("minus", "#m = affine_map<(d0) -> (" + "-" * 90000 + "d0)>"),
                    ("locations", "module {} loc(" + "callsite(" * 50000),
                    ("modules", "module {" * 300 + "}" * 300)):
        refuse("deep-" + n, text, "deeper", ours=True)
    alias = "!a0 = i32\n" + "".join(
        f"!a{k + 1} = tuple<!a{k}>\n" for k in range(5000))
    refuse("deep-aliases", alias + '"a.b"() : () -> !a5000\n', "deeper",
           ours=True)
    refuse("unclosed", "module {")
    refuse("string", 'module attributes {a = "x')
    for n, text in (("nul", "module \0{}"), ("nul-file", "\0" * 1000),
                    ("binary", bytes(range(256)) * 4),
                    ("escape", "\n\x1b[31m module"),
                    ("escape-in-comment", "// \x1b[31m\nmodule {")):
        refuse(n, text, "control character", ours=True)
    refuse("latin1", b"module @\xff {}")
    refuse("unknown-op", "moe.wibble")
    refuse("unknown-dialect", '"nope.op"() : () -> ()', "nope")
    refuse("unknown-type", "func.func private @f(!moe.wibble)")
    refuse("redefined", "func.func private @f()\nfunc.func private @f()", "@f",
           tools="o")
    refuse("undefined", "func.func @f() { return %x : i32 }")
    refuse("verifier", layer.replace("k = 2", "k = 3", 1))
    refuse("rank", "func.func private @f(tensor<" + "1x" * 2000 + "f32>)",
           tools="c", ours=False)
    refuse("size-2to64", "func.func private @f(tensor<18446744073709551616xf32>)")
    refuse("width", "func.func private @f(i99999999)")
    for n, text in (("integer", "1" + "0" * 100000 + " : i64"),
                    ("hex", "0x" + "f" * 100000 + " : i64"),
                    ("fraction", "1." + "0" * 100000 + " : f64")):
        refuse("long-" + n, "module attributes {a = " + text + "} {}",
               "digits", ours=True)
    refuse("exponent", "module attributes {a = 1.0e999999999999 : i64} {}")
    refuse("symbol", "func.func private @f()\n" * 2 + 'func.func private '
           '@"\\1B[31m"()\n' * 2, tools="c")
    refuse("dense", 'module attributes {a = dense<"0x00"> : '
           "tensor<1000000000000xf32>} {}")
    refuse("dense-shape", "module attributes {a = dense<[1, 2]> : "
           "tensor<3xi32>} {}")
    refuse("resource", 'module attributes {a = dense_resource<r> : '
           'tensor<4xf32>} {}\n{-# dialect_resources: {builtin: {r: '
           '"0x03000000AA"}} #-}')
    refuse("resource-text", 'module {}\n{-# dialect_resources: {builtin: {r: '
           '"zz"}} #-}')
    for n, text in (("plain", "array<index: 1>"), ("empty", "array<index>"),
                    ("comment", "array // x\n < // y\n index: 1>"),
                    ("alias", "array<!i: 1>")):
        refuse("index-array-" + n, '!i = index\n"a.b"() {a = ' + text +
               "} : () -> ()", "array", ours=True)
    refuse("parameter", layer.replace("moe.parameter ", "moe.parameter_ ", 1))
    splat = ('func.func @f() -> tensor<1000000000000xf32> {\n'
             '  %0 = arith.constant dense<1.0> : tensor<1000000000000xf32>\n'
             '  return %0 : tensor<1000000000000xf32>\n}\n')
    s.good("mlir/odd/splat", ["moe-opt", i.file("splat.mlir", splat),
                              "--canonicalize", "-o", "/dev/null"])
    recursion = ("func.func @f(%x: i32) -> i32 {\n  %0 = call @g(%x) : (i32) -> "
                 "i32\n  return %0 : i32\n}\nfunc.func @g(%x: i32) -> i32 {\n  "
                 "%0 = call @f(%x) : (i32) -> i32\n  return %0 : i32\n}\n")
    s.good("mlir/odd/recursion", ["moe-opt", i.file("rec.mlir", recursion),
                                  "--inline", "-o", "/dev/null"])
    refuse("recursion", recursion, tools="c")
    refuse("empty", "", tools="c", ours=False)
    refuse("empty-module", "module {}", tools="c")
    refuse("private-only", "func.func private @f()", tools="c")
    refuse("no-names", "func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> {\n"
           "  return %x : tensor<2xf32>\n}", tools="c")
    huge = i.file("huge.mlir", """
func.func @f(%x: tensor<4611686018427387904xf32>
                 {moe.name = "x", moe.shape = [4611686018427387904]})
    -> (tensor<4611686018427387904xf32>
           {moe.name = "y", moe.shape = [4611686018427387904]}) {
  return %x : tensor<4611686018427387904xf32>
}""")
    s.right_or_refused("mlir/compile/huge-argument",
                       ["moe-compile", huge, "-o", "x.so"], "x.so")
    s.bad("mlir/interpret/recursion", [
        "moe-opt", i.base + "/rec.mlir", "--interpret=f"], mlir=True)
    s.bad("mlir/interpret/absent", [
        "moe-opt", i.base + "/rec.mlir", "--interpret=none"], "none", mlir=True)
    s.bad("mlir/interpret/huge", [
        "moe-opt", i.base + "/splat.mlir", "--interpret=f"], mlir=True)
    s.bad("mlir/pass/unknown", ["moe-opt", i.layer_mlir, "--moe-wibble"],
          "moe-wibble", code=2)
    for name, text in (("unknown", "builtin.module(wibble)"),
                       ("unclosed", "builtin.module("), ("empty-name", "()"),
                       ("deep", "builtin.module(" * 8000),
                       ("option", "builtin.module(canonicalize{x=})")):
        s.bad("mlir/pipeline/" + name, [
            "moe-opt", i.layer_mlir, "--pass-pipeline=" + text], mlir=True)

    # Bytecode: cut, and with single bytes changed. What stays readable is not
    # wrong; what is refused is refused properly.
    whole = read(i.bytecode)
    s.good("mlir/odd/bytecode", ["moe-opt", i.bytecode, "-o", "x"], "x",
           s.must(["moe-opt", i.layer_mlir, "-o", "x"], "x"))
    generator = random.Random(SEED)
    for n, size in enumerate([4, 5, 8, 20] + [
            generator.randrange(20, len(whole)) for _ in range(8)]):
        refuse(f"bytecode-cut-{n}", whole[:size], tools="o" if n % 2 else "c")
    for n in range(24):
        changed = bytearray(whole)
        changed[generator.randrange(4, len(whole))] ^= 1 << n % 8
        changed_either(s, i, f"bytecode-flip-{n}", bytes(changed))
    refuse("bytecode-version", whole[:4] + b"\xff" + whole[5:])

    for tool, out in (("moe-opt", "x.mlir"), ("moe-compile", "x.so")):
        folder = i.base + "/kinds-" + tool
        os.makedirs(folder)
        os.mkfifo(folder + "/fifo.mlir")
        os.symlink("/dev/zero", folder + "/zero.mlir")
        os.symlink("loop.mlir", folder + "/loop.mlir")
        for name in ("fifo", "zero", "loop", "absent"):
            s.bad(f"mlir/kind/{tool}/{name}",
                  [tool, f"{folder}/{name}.mlir", "-o", out], name + ".mlir")
    s.bad("mlir/kind/folder", ["moe-opt", folder, "-o", "x"], "kinds")


def changed_either(s, i, name, data):
    """Bytecode with a changed byte: both tools end properly."""
    file = i.file(f"ir-{name}.mlirbc", data)
    for tool, out in (("moe-opt", "x.mlir"), ("moe-compile", "x.so")):
        full = f"mlir/{tool}/{name}"
        if not s.wants(full):
            continue
        flags = ["-O0", "--target=cpu:x86-64-v3"] if out == "x.so" else []
        command = [tool, file, "-o", out] + flags
        got, _, err, broken = s.execute(command)
        if got not in (0, 1):
            broken.append(f"exit code {got}")
        if got == 1 and "error: " not in err:
            broken.append("no diagnostic")
        if got == 1 and os.listdir(s.work):
            broken.append("left behind: " + " ".join(os.listdir(s.work)))
        s.finish(full, command, err, broken)


def check_run(s, i):
    vocabulary = i.config["vocab_size"]

    def make(name, tensors, **options):
        return i.file(f"run-{name}.safetensors", from_tensors(tensors))

    def ids_of(values, shape=None, dtype="I64", format_="q"):
        return {"input_ids": (dtype, shape or [1, len(values)], struct.pack(
            f"<{len(values)}{format_}", *values))}

    def refuse(name, tensors, text="input_ids", code=1, flags=()):
        s.bad("run/" + name, i.run(input=make(name, tensors)) + list(flags),
              [f"run-{name}.safetensors", text], code=code)

    for name, value in (("vocab", vocabulary), ("minus", -1),
                        ("wraps-32", 1 << 32), ("wraps-33", (1 << 33) + 5),
                        ("wraps-byte", 256), ("min", -1 << 63),
                        ("max", (1 << 63) - 1), ("wraps-minus", -1 << 32)):
        refuse("id-" + name, ids_of([1, 2, value, 3]))
        refuse("id-last-" + name, ids_of([1, 2, 5, value]))
    refuse("i32", ids_of([1, 2], dtype="I32", format_="i"))
    refuse("u64", ids_of([1, 2], dtype="U64", format_="Q"))
    refuse("f32", ids_of([1, 2], dtype="F32", format_="f"))
    refuse("f64", ids_of([1, 2], dtype="F64", format_="d"))
    refuse("rank-0", {"input_ids": ("I64", [], struct.pack("<q", 1))})
    refuse("rank-1", ids_of([1, 2], [2]))
    refuse("rank-3", ids_of([1, 2], [1, 1, 2]))
    refuse("name", {"input_id": ids_of([1, 2])["input_ids"]})
    refuse("nothing", {})
    refuse("long", ids_of([1] * 129), "128")
    refuse("long-batch", ids_of([1] * 258, [2, 129]), "128")
    for name, shape in (("b0", [0, 3]), ("s0", [1, 0]), ("both", [0, 0]),
                        ("absurd", [2**40, 0]), ("absurd-b", [0, 2**40])):
        file = make("zero-" + name, {"input_ids": ("I64", shape, b"")})
        s.right_or_refused("run/zero-" + name, i.run(input=file, output=False))
    for name, values, shape in (
            ("one", [5], [1, 1]), ("same", [7] * 60, [3, 20]),
            ("full", [9] * 128, [1, 128]), ("batch", [3] * 300, [300, 1])):
        file = make("ok-" + name, ids_of(values, shape))
        s.good("run/odd/" + name, i.run(input=file, output=False))
    extra = dict(tensors_of(read(i.input)))
    extra["other"] = ("BOOL", [3], b"\1\0\1")
    s.good("run/odd/extra", i.run(input=make("extra", extra)), "y", i.result)
    s.bad("run/input-missing", i.run(input=i.base + "/none"), "none")

    # --expect must be able to fail.
    dtype, shape, data = i.expected["logits"]

    def differ(name, tensors, text="logits"):
        file = make("expect-" + name, tensors)
        s.bad("run/expect/" + name, i.run(output=False) + [
            "--expect", file, "--output=y"], text, code=3)

    def with_value(value):
        changed = data[:400] + struct.pack("<f", value) + data[404:]
        return {"logits": (dtype, shape, changed)}

    for value in (float("nan"), float("inf"), 1e30, -0.5):
        differ(f"value-{value}", with_value(value))
    differ("shape", {"logits": (dtype, [shape[1], shape[0], shape[2]], data)})
    differ("flat", {"logits": (dtype, [len(data) // 4], data)})
    differ("absent", {"logit": (dtype, shape, data)}, "logit")
    differ("nothing", {}, "")
    differ("tokens", {"next_tokens": ("I64", [3], struct.pack(
        "<3q", 57, 21, 41))}, "next_tokens")

    # Weights of another model.
    other = dict(i.tensors)
    del other["lm_head.weight"]
    folder = i.folder("params-missing", from_tensors(other))
    s.bad("run/params/missing", i.run(folder), "lm_head.weight")
    s.bad("run/params/layer", i.run(i.layer), "tensor")
    s.bad("run/params/other", i.run(
        os.path.join(i.golden, "models", "olmoe")), "tensor")
    s.bad("run/params/type", i.run(
        os.path.join(i.golden, "models", "mixtral-bf16")), "tensor")
    s.bad("run/params/absent", i.run(i.base + "/none"), "none")
    s.bad("run/params/text", i.run(i.layer_mlir), "layer.mlir")
    os.makedirs(i.base + "/void")
    s.bad("run/params/void", i.run(i.base + "/void"), "void")
    s.bad("run/params/none", ["moe-run", i.so, "--input", i.input],
          "--params", code=2)
    for seed in ("", "x", "-1", "1.5", "99999999999999999999999"):
        s.bad(f"run/params/synthetic:{seed}", i.run("synthetic:" + seed),
              "synthetic", code=1)
    s.good("run/odd/params-file", i.run(i.model + "/model.safetensors"), "y",
           i.result)
    s.good("run/odd/params-slash", i.run(i.model + "///"), "y", i.result)

    for name, flags, text in (
            ("tokens-empty", ["--tokens="], "tokens"),
            ("tokens-text", ["--tokens=1,x"], "tokens"),
            ("tokens-comma", ["--tokens=1,,2"], "tokens"),
            ("tokens-huge", ["--tokens=99999999999999999999"], "tokens"),
            ("new-minus", ["--tokens=1", "--max-new-tokens=-1"], "max-new"),
            ("new-text", ["--tokens=1", "--max-new-tokens=ten"], "max-new"),
            ("threads-zero", ["--tokens=1", "--threads=0"], "threads"),
            ("threads-minus", ["--tokens=1", "--threads=-3"], "threads"),
            ("threads-huge", ["--tokens=1", "--threads=1000000"], "threads"),
            ("threads-text", ["--tokens=1", "--threads=two"], "threads"),
            ("rtol-nan", ["--input", i.input, "--rtol=nan"], "rtol"),
            ("atol-minus", ["--input", i.input, "--atol=-1"], "atol"),
            ("atol-comma", ["--input", i.input, "--atol=0,5"], "atol"),
            ("repeat-zero", ["--input", i.input, "--repeat=0"], "repeat")):
        s.bad("run/flag/" + name, ["moe-run", i.so, "--params", i.model, *flags],
              text, code=2)
    for name, flags, text in (
            ("token-range", [f"--tokens=1,{vocabulary}"], str(vocabulary)),
            ("token-minus", ["--tokens=1,-1"], ""),
            ("token-wraps", ["--tokens=4294967297"], "4294967297"),
            ("length", ["--tokens=1", "--max-length=100000"], "100000"),
            ("new-huge", ["--tokens=1", "--max-new-tokens=1000000"], ""),
            ("prompt", ["--prompt=x"], "prompt")):
        if not s.wants("run/generate/" + name):
            continue
        command = ["moe-run", i.so, "--params", i.model, *flags]
        got, out, err, broken = s.execute(command)
        if got not in (1, 2) or err.count("\n") != 1 or text not in err or out:
            broken.append(f"exit code {got}")
        s.finish("run/generate/" + name, command, err, broken)


def check_artifacts(s, i):
    whole = read(i.so)

    def refuse(name, data, text="", code=1):
        file = i.file(f"bad-{name}.so", data)
        s.bad("artifact/run/" + name, i.run(so=file),
              [f"bad-{name}.so", text], code=code)

    generator = random.Random(SEED)
    for n in range(40):
        changed = bytearray(whole)
        changed[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        refuse(f"flip-{n}", bytes(changed))
    for n, size in enumerate([0, 1, 4, 15, 16, 63, 64, 100, 4096] + [
            generator.randrange(64, len(whole)) for _ in range(10)] +
            [len(whole) - 1]):
        refuse(f"cut-{n}", whole[:size])
    for n in (1, 8, 4096):
        refuse(f"appended-{n}", whole + bytes(n))
    refuse("prepended", b"\0" + whole)
    refuse("twice", whole + whole)
    refuse("text", "hello\n")
    refuse("script", "#!/bin/sh\ntouch owned\n")
    refuse("ls", read("/bin/ls"))
    refuse("elf-header-only", whole[:64] + bytes(1000))
    for name, at, value in (
            ("elf-32", 4, 1), ("big-endian", 5, 2), ("machine", 18, 183),
            ("type", 16, 2)):
        refuse(name, whole[:at] + bytes([value]) + whole[at + 1:])
    for name, at, format_, value in (
            ("phoff-wraps", 32, "<Q", 2**64 - 1), ("phoff-zero", 32, "<Q", 0),
            ("phentsize", 54, "<H", 1), ("phnum", 56, "<H", 65535),
            ("phnum-zero", 56, "<H", 0)):
        changed = bytearray(whole)
        struct.pack_into(format_, changed, at, value)
        refuse(name, bytes(changed))

    # The note's descriptor with fields changed and the hash made right.
    start = whole.index(b"MOEEAOT1")

    def sealed(changed, keep_size=False):
        changed[start + 24:start + 64] = bytes(40)
        digest = hashlib.sha256(changed).digest()
        struct.pack_into("<Q", changed, start + 24, len(changed))
        changed[start + 32:start + 64] = digest
        return bytes(changed)

    if s.wants("artifact/sealing"):
        broken = [] if sealed(bytearray(whole)) == whole else ["not the hash"]
        s.finish("artifact/sealing", [], "", broken)
    for name, offset, format_, value, code, text in (
            ("abi-older", 8, "<I", 0, None, "compile it again"),
            ("abi-newer", 8, "<I", 99, None, ""),
            ("abi-newer-minor", 12, "<I", 99, None, ""),
            ("manifest-size", 16, "<Q", 2**63, 1, ""),
            ("manifest-zero", 16, "<Q", 0, 1, ""),
            ("magic", 0, "<Q", 7, 1, ""),
            ("levels", 88, "<I", 0, None, ""),
            ("target", 68, "<I", 2**31, 1, "")):
        changed = bytearray(whole)
        struct.pack_into(format_, changed, start + offset, value)
        file = i.file(f"bad-{name}.so", sealed(changed))
        if not s.wants("artifact/run/" + name):
            continue
        command = i.run(so=file)
        got, out, err, broken = s.execute(command)
        if got not in ((1, 4) if code is None else (code,)):
            broken.append(f"exit code {got}")
        if (err.count("\n") != 1 or not err.startswith("error: ") or
                f"bad-{name}.so" not in err or text not in err or out or
                os.listdir(s.work)):
            broken.append("not one good error line")
        s.finish("artifact/run/" + name, command, err, broken)

    folder = i.base + "/artifacts"
    os.makedirs(folder + "/folder.so")
    os.mkfifo(folder + "/fifo.so")
    os.symlink("nowhere", folder + "/dangling.so")
    os.symlink("loop.so", folder + "/loop.so")
    os.symlink("/dev/zero", folder + "/zero.so")
    os.symlink(i.so, folder + "/link.so")
    for name in ("folder", "fifo", "dangling", "loop", "zero", "absent"):
        for tool, flags in (("moe-run", ["--describe"]),
                            ("moe-bench", ["--quick"])):
            s.bad(f"artifact/{tool}/{name}", [
                tool, f"{folder}/{name}.so"] + (
                    flags if tool == "moe-run" else
                    ["--params", i.model]), name)
    s.good("artifact/odd/link", i.run(so=folder + "/link.so"), "y", i.result)
    for name in ("flip-0", "cut-12", "appended-8", "ls", "text"):
        file = i.base + f"/bad-{name}.so"
        s.bad("artifact/describe/" + name, ["moe-run", file, "--describe"],
              file)
        s.bad("artifact/bench/" + name, ["moe-bench", file, "--params",
                                         i.model], file)
    s.bad("artifact/model-as-artifact", i.run(so=i.model), "mixtral")


def check_commands(s, i):
    for tool in ("moe-compile", "moe-import", "moe-run", "moe-opt",
                 "moe-bench"):
        for flag in ("--help", "--version"):
            s.good(f"command/{tool}/{flag}", [tool, flag])
            s.good(f"command/{tool}/{flag}-no-environment", [tool, flag],
                   env={})
            s.bad(f"command/{tool}/{flag}-full", [tool, flag],
                  stdout=open("/dev/full", "wb"))
        model = {"moe-run": i.so, "moe-bench": i.so,
                 "moe-opt": i.layer_mlir}.get(tool, i.layer)
        for name, flags, text in (
                ("unknown", ["--wibble"], "wibble"),
                ("unknown-value", ["--wibble=1"], "wibble"),
                ("unknown-short", ["-Z"], "-Z"),
                ("escape", ["--\x1b[31m"], ""),
                ("format", ["--%s%n%x"], "%s%n"),
                ("long", ["--" + "x" * 100000], "xxx"),
                ("surplus", [model, "surplus"], "argument"),
                ("not-utf8", [b"--\xff\xfe".decode(errors="surrogateescape")],
                 "")):
            s.bad(f"command/{tool}/{name}", [tool, model, *flags], text, code=2)
        if tool not in ("moe-opt",):
            s.bad(f"command/{tool}/nothing", [tool], tool, code=2)
            s.bad(f"command/{tool}/empty", [tool, ""], code=2)
    for tool in ("moe-compile", "moe-import"):
        s.bad(f"command/{tool}/no-output", [tool, i.layer], "-o", code=2)
        s.bad(f"command/{tool}/output-empty", [tool, i.layer, "-o", ""],
              code=2)
        s.bad(f"command/{tool}/output-no-value", [tool, i.layer, "-o"],
              code=2)
        s.bad(f"command/{tool}/weights", [tool, i.layer, "-o", "x",
                                          "--weights=wibble"], "wibble", code=2)
        for name in ("absent", "absent/"):
            s.bad(f"command/{tool}/{name}", [tool, i.base + "/" + name, "-o",
                                             "x"], "absent")
        s.bad(f"command/{tool}/long-path", [tool, "x" * 5000, "-o", "x"],
              "xxx")
        s.bad(f"command/{tool}/newline-path", [tool, "a\n\x1b[31mb", "-o",
                                               "x"], "a")
        s.bad(f"command/{tool}/proc", [tool, "/proc/self", "-o", "x"],
              "config.json")
    s.bad("command/moe-compile/target", ["moe-compile", i.layer, "-o", "x",
                                         "--target=pdp11"], "pdp11", code=2)
    s.bad("command/moe-compile/level", ["moe-compile", i.layer, "-o", "x",
                                        "-O9"], "-O9", code=2)
    s.bad("command/moe-compile/plugin", [
        "moe-compile", i.layer, "-o", "x", "--load-pass-plugin=" + i.layer_mlir],
          "layer.mlir")
    for env in ("LD_BIND_NOW", "MOE_NUM_THREADS"):
        s.good("command/environment/" + env, i.run(), "y", i.result,
               env=dict(os.environ, **{env: "-1%s\x1b"}))


def check_outputs(s, i):
    layer_ir = s.must(["moe-import", i.layer, "-o", "-"])
    compile_ = ["moe-compile", "-O0", "--target=cpu:x86-64-v3", i.layer]
    commands = {
        "moe-compile": (compile_ + ["-o"], read(i.layer_so)),
        "moe-import": (["moe-import", i.layer, "-o"], layer_ir),
        "moe-opt": (["moe-opt", i.layer_mlir, "-o"],
                    s.must(["moe-opt", i.layer_mlir, "-o", "x"], "x")),
        "moe-run": (i.run(output=False) + ["--output"], i.result),
    }
    folder = i.base + "/outputs"
    os.makedirs(folder + "/locked")
    os.mkfifo(folder + "/fifo")
    odd = ["a b", "%s%n", "$(touch owned)", "x;y", "-dash", "\u00fc\u4e2d",
           "'", '"', "a\\b", "x\ny"]
    for tool, (command, result) in commands.items():
        for name in odd:
            out = "./" + name if name.startswith("-") else name
            s.good(f"output/{tool}/{ascii(name)}", command + [out], name,
                   result)
        s.good(f"output/{tool}/relative", command + ["./x"], "x", result)
        s.good(f"output/{tool}/null", command + ["/dev/null"])
        if not os.path.exists("/dev/null") or os.path.isfile("/dev/null"):
            sys.exit(tool + " replaced /dev/null")
        s.good(f"output/{tool}/no-environment", command + ["x"], "x", result,
               env={})
        s.good(f"output/{tool}/locale", command + ["x"], "x", result,
               env=dict(os.environ, LC_ALL="de_DE.UTF-8", LANG="de_DE.UTF-8"))
        s.good(f"output/{tool}/closed-stdin", command + ["x"], "x", result,
               close=[0])
        s.good(f"output/{tool}/closed-all", command + ["x"], "x", result,
               close=[0, 1, 2])
        for name, path, text in (
                ("full", "/dev/full", "/dev/full"),
                ("folder", folder, "outputs"),
                ("slash", "absent/", "absent/"),
                ("absent", "absent/x", "absent"),
                ("under-file", i.input + "/x", "input.safetensors"),
                ("fifo", folder + "/fifo", "fifo"),
                ("long", "x" * 300, "xxx"),
                ("proc", "/proc/version", "version"),
                ("dev", "/dev/absent/x", "absent")):
            s.bad(f"output/{tool}/{name}", command + [path], text)
        # A file that may not grow: the earlier one stays as it was.
        if s.wants(f"output/{tool}/limit"):
            earlier = folder + "/earlier"
            write(earlier, "earlier")
            _, _, err, broken = s.execute(
                command + [earlier],
                limits=[(resource.RLIMIT_FSIZE, 1000)])
            if not err.startswith("error: ") or err.count("\n") != 1:
                broken.append("not one error line")
            if read(earlier) != b"earlier":
                broken.append("the earlier file is not what it was")
            if any("earlier" in n and n != "earlier" or n.endswith("tmp")
                   for n in os.listdir(folder)):
                broken.append("left beside: " + " ".join(os.listdir(folder)))
            s.finish(f"output/{tool}/limit", command + [earlier], err, broken)
        # An earlier output survives a failure.
        if s.wants(f"output/{tool}/failure"):
            earlier = folder + "/earlier"
            write(earlier, "earlier")
            bad = [c.replace(i.layer, i.base + "/none").replace(
                i.layer_mlir, i.base + "/none").replace(i.so, i.base + "/none")
                for c in command]
            got, _, err, broken = s.execute(bad + [earlier])
            if got != 1 or read(earlier) != b"earlier":
                broken.append(f"exit code {got}")
            s.finish(f"output/{tool}/failure", bad, err, broken)

    # Never over an input.
    own = i.base + "/own"
    shutil.copytree(i.layer, own)
    own_so, own_ir = own + "/m.so", own + "/m.mlir"
    shutil.copy(i.so, own_so)
    shutil.copy(i.layer_mlir, own_ir)
    os.link(own + "/config.json", own + "/hard.json")
    os.symlink("config.json", own + "/soft.json")
    weights = i.folder("own-weights")
    shutil.copy(i.input, weights + "/in.safetensors")
    for name, command in (
            ("compile-config", compile_[:-1] + [own, "-o", own + "/config.json"]),
            ("compile-weights", compile_[:-1] + [own, "-o",
                                                 own + "/model.safetensors"]),
            ("compile-hard", compile_[:-1] + [own, "-o", own + "/hard.json"]),
            ("compile-soft", compile_[:-1] + [own, "-o", own + "/soft.json"]),
            ("compile-dots", compile_[:-1] + [own, "-o", own +
                                              "/../own/config.json"]),
            ("compile-mlir", compile_[:-1] + [own_ir, "-o", own_ir]),
            ("import-config", ["moe-import", own, "-o", own + "/config.json"]),
            ("import-weights", ["moe-import", own, "-o", own +
                                "/model.safetensors"]),
            ("run-so", i.run(output=False, so=own_so) + ["--output", own_so]),
            ("run-input", i.run(output=False, input=weights +
                                "/in.safetensors") +
             ["--output", weights + "/in.safetensors"]),
            ("run-params", i.run(weights, output=False) +
             ["--output", weights + "/model.safetensors"])):
        s.bad("output/own/" + name, command)

    # Models in odd places.
    for name in odd:
        place = os.path.join(i.base, "places", name)
        shutil.copytree(i.layer, place)
        s.good(f"place/import/{ascii(name)}",
               ["moe-import", place, "-o", "x"], "x", layer_ir)
        s.good(f"place/compile/{ascii(name)}",
               compile_[:-1] + [place + "/", "-o", "x"], "x",
               read(i.layer_so))
    place = os.path.join(i.base, "places", "all %s $(x);\u00fc")
    shutil.copytree(i.model, place)
    shutil.copy(i.so, place + "/m.so")
    s.good("place/run", i.run(place, place + "/golden.safetensors",
                              place + "/m.so"), "y", i.result)
    s.good("place/relative", ["moe-import", os.path.relpath(
        i.layer, s.work), "-o", "x"], "x", layer_ir)


SECTIONS = {
    "safetensors": check_safetensors, "config": check_config,
    "index": check_index, "mlir": check_mlir, "run": check_run,
    "artifacts": check_artifacts, "commands": check_commands,
    "outputs": check_outputs,
}


def main():
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    tools, golden, scratch, *sections = [
        os.path.abspath(a) if n < 3 else a for n, a in enumerate(
            a for a in sys.argv[1:] if not a.startswith("--"))]
    only = next((f[7:] for f in flags if f.startswith("--only=")), None)
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    sweep = Sweep(tools, scratch, only, "--verbose" in flags)
    inputs = Inputs(sweep, golden)
    before = fingerprint(inputs.model), fingerprint(inputs.layer)
    for section in sections or SECTIONS:
        start = time.monotonic()
        SECTIONS[section](sweep, inputs)
        print(f"{section}: {time.monotonic() - start:.1f} s", file=sys.stderr)
    after = fingerprint(inputs.model), fingerprint(inputs.layer)
    if before != after:
        sweep.failures.append("inputs")
        print("FAIL inputs: changed by a tool")
    print(f"{sweep.passed} passed, {len(sweep.failures)} failed; most memory "
          f"{sweep.most_memory[0] >> 20} MiB ({sweep.most_memory[1]})")
    shutil.rmtree(scratch)
    sys.exit(1 if sweep.failures else 0)


main()
