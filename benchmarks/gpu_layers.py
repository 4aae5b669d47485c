#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers of known models on a GPU: moe-bench, and where torch is there the same
layer from torch._grouped_mm, as a Markdown table.

    gpu_layers.py [--tools DIR] [--device cuda|cuda:N|emulated-cuda[:1]]
                  [--layers qwen3-30b,mixtral|tiny] [--tokens 1,32,...]
                  [--precision bf16|f16|tf32|f32] [--min-time S] [--json FILE]

Weights are synthetic. Both sides run the whole layer, router included, on N(0, 1)
tokens in device memory: eight inputs in turn up to 256 tokens, two above, as
replays of CUDA graphs with events between them. Ours takes and gives f32, torch
the weights' type. Exit codes: 0 done, 1 error, 2 wrong command line, 4 no GPU.
"""
import argparse
import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile

# H, I, E, k
LAYERS = {"qwen3-30b": (2048, 768, 128, 8),
          "mixtral": (4096, 14336, 8, 2),
          "tiny": (64, 32, 8, 2)}
TOKENS = "1,32,512,8192,32768"
# Of the file; products in tf32 and f32 have f32 weights.
WEIGHTS = {"bf16": ("BF16", 2), "f16": ("F16", 2),
           "tf32": ("F32", 4), "f32": ("F32", 4)}
HERE = os.path.dirname(os.path.abspath(__file__))


def fail(code, text):
    print("error: gpu_layers.py: " + text, file=sys.stderr)
    sys.exit(code)


def find_gpu(device):
    """Ends the program unless the CUDA driver has the GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        fail(4, f"no CUDA driver: {error}")
    count = ctypes.c_int(0)
    result = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    ordinal = int(device.partition(":")[2] or 0)
    if result or ordinal >= count.value:
        fail(4, f"no GPU for --device={device}: the CUDA driver has "
                f"{count.value} (result {result})")


def write_layer(directory, sizes, precision):
    """A description, and a file of weights that has a header and a hole: only
    names, types and shapes are looked at."""
    h, i, e, k = sizes
    config = {"model_type": "moe_layer", "hidden_size": h, "num_experts": e,
              "expert": {"intermediate_size": i}, "top_k": k,
              "router": {"normalize": {"p": 1}}}
    with open(os.path.join(directory, "config.json"), "w") as file:
        json.dump(config, file)
    dtype, size = WEIGHTS[precision]
    header, at = {}, 0
    shapes = {"router.weight": [e, h]}
    for expert in range(e):
        for name, shape in (("gate", [i, h]), ("up", [i, h]), ("down", [h, i])):
            shapes[f"experts.{expert}.{name}.weight"] = shape
    for name, shape in shapes.items():
        end = at + shape[0] * shape[1] * size
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(directory, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        # The tool has said why.
        fail(1 if done.returncode < 0 else done.returncode,
             f"{os.path.basename(command[0])} failed")
    return done.stdout


def measure_ours(options, sizes):
    with tempfile.TemporaryDirectory() as directory:
        write_layer(directory, sizes, options.precision)
        library = os.path.join(directory, "layer.so")
        run([os.path.join(options.tools, "moe-compile"), directory,
             "--target=cuda:sm_80", "--target=cuda:sm_90a",
             f"--precision={options.precision}", "-o", library])
        return json.loads(run(
            [os.path.join(options.tools, "moe-bench"), library,
             "--params=synthetic:1", f"--device={options.device}",
             f"--tokens={options.tokens}", f"--min-time={options.min_time}",
             "--format=json"]))


def torch_layer(torch, sizes, dtype, device):
    """The layer as a function of tokens [T, H]; nothing in it waits for the
    device."""
    h, i, e, k = sizes

    def weights(*shape):
        return torch.randn(shape, device=device, dtype=dtype) / shape[-1] ** .5

    router = weights(e, h)
    gate_up, down = weights(e, 2 * i, h), weights(e, h, i)
    ones = None

    def layer(x):
        nonlocal ones
        scores = (x @ router.T).float().softmax(-1)
        weight, expert = scores.topk(k)
        weight = weight / weight.sum(-1, keepdim=True)
        flat = expert.flatten()
        order = flat.argsort(stable=True)
        if ones is None or len(ones) != len(flat):
            ones = torch.ones_like(flat)
        counts = torch.zeros(e, dtype=flat.dtype, device=device)
        offsets = counts.scatter_add(0, flat, ones).cumsum(0).int()
        token = order // k
        gate, up = torch._grouped_mm(x[token], gate_up.transpose(1, 2),
                                     offs=offsets).chunk(2, -1)
        inner = torch.nn.functional.silu(gate) * up
        out = torch._grouped_mm(inner, down.transpose(1, 2), offs=offsets)
        out = out * weight.flatten()[order, None].to(dtype)
        return torch.zeros_like(x).index_add(0, token, out)

    return layer


def time_torch(torch, layer, tokens, h, dtype, device, min_time):
    inputs = [torch.randn(tokens, h, device=device, dtype=dtype)
              for _ in range(8 if tokens <= 256 else 2)]
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        layer(inputs[0])
    torch.cuda.current_stream(device).wait_stream(side)
    graphs = []
    for x in inputs:
        graphs.append(torch.cuda.CUDAGraph())
        with torch.cuda.graph(graphs[-1]):
            layer(x)
    # Read before each batch, as moe-bench does.
    buffer = torch.zeros(1 << 29, dtype=torch.int32, device=device)
    times = []
    while len(times) < 5 or (sum(times) < 1e3 * min_time and
                             len(times) < 100000):
        last = times[-1] if times else 1e9
        batch = max(1, min(32, int(20 / max(last, 1e-3))))
        events = [torch.cuda.Event(enable_timing=True)
                  for _ in range(batch + 1)]
        buffer.sum()
        events[0].record()
        for index, event in enumerate(events[1:]):
            graphs[(len(times) + index) % len(graphs)].replay()
            event.record()
        torch.cuda.synchronize(device)
        times += [a.elapsed_time(b) for a, b in zip(events, events[1:])]
    times.sort()
    return times[len(times) // 2]


def measure_torch(torch, options, sizes, tokens):
    """Milliseconds per number of tokens, or why there are none."""
    if options.precision not in ("bf16", "f16"):
        return "torch._grouped_mm has no " + options.precision
    if not hasattr(torch, "_grouped_mm"):
        return f"torch {torch.__version__} has no _grouped_mm"
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float16
    device = torch.device(options.device)
    results = {}
    try:
        with torch.cuda.device(device), torch.no_grad():
            layer = torch_layer(torch, sizes, dtype, device)
            for count in tokens:
                results[count] = time_torch(torch, layer, count, sizes[0],
                                            dtype, device, options.min_time)
    except (RuntimeError, TypeError) as error:
        # Out of memory, not for this GPU, or another version's arguments.
        return str(error).split("\n")[0]
    return results


def import_torch():
    try:
        import torch
    except ImportError as error:
        return None, f"not measured: {error}"
    if not torch.cuda.is_available():
        return None, f"not measured: torch {torch.__version__} sees no GPU"
    return torch, f"{torch.__version__}, CUDA {torch.version.cuda}"


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--tools", default=os.path.join(
        HERE, "..", "build", "bin"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", default="qwen3-30b,mixtral")
    parser.add_argument("--tokens", default=TOKENS)
    parser.add_argument("--precision", default="bf16", choices=sorted(WEIGHTS))
    parser.add_argument("--min-time", type=float, default=1)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    for name in options.layers.split(","):
        if name not in LAYERS:
            parser.error(f"--layers: no layer '{name}', expected some of " +
                         ",".join(LAYERS))
    if not all(t.isdigit() and int(t) for t in options.tokens.split(",")):
        parser.error(f"--tokens: '{options.tokens}' is no list of numbers")
    name, _, ordinal = options.device.partition(":")
    if name not in ("cuda", "emulated-cuda") or \
            not (ordinal or "0").isdigit():
        parser.error(f"--device: no GPU '{options.device}', expected cuda, "
                     "cuda:N, emulated-cuda or emulated-cuda:N")
    return options


def main():
    options = parse()
    is_emulated = options.device.startswith("emulated")
    if is_emulated:
        torch, about = None, "not measured on an emulated GPU"
    else:
        find_gpu(options.device)
        torch, about = import_torch()
    tokens = [int(t) for t in options.tokens.split(",")]
    rows, notes = [], []
    for name in options.layers.split(","):
        ours = measure_ours(options, LAYERS[name])
        peers = {}
        if torch:
            peers = measure_torch(torch, options, LAYERS[name], tokens)
            if isinstance(peers, str):
                notes.append(f"{name}: torch not measured: {peers}")
                peers = {}
        for row in ours:
            rows.append(dict(row, layer=name,
                             torch_ms=peers.get(row["tokens"])))
    print(f"{rows[0]['device']}, products in {options.precision}, code for "
          f"{rows[0]['code']}; torch {about}")
    if is_emulated:
        print("times of an emulated GPU mean nothing")
    print("\n| layer | T | experts hit | ours, ms | % of roofline | torch, ms "
          "| torch / ours |\n|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        peer = row["torch_ms"]
        print(f"| {row['layer']} | {row['tokens']} | {row['experts_hit']:.1f} "
              f"| {row['median_ms']:.4f} | {row['roofline_percent']:.1f} | " +
              (f"{peer:.4f} | {peer / row['median_ms']:.2f} |" if peer
               else "- | - |"))
    for note in notes:
        print("\n" + note)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": about, "rows": rows}, file, indent=1)


main()
