# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random layers and tiny Mixtral checkpoints: does compiled code agree with the
interpreter, and with itself at every optimisation and CPU level?

    random_models.py layer|mixtral TOOLS CASES [FIRST]

TOOLS is the folder of moe-import, moe-opt, moe-compile and moe-run. Case i is
made from seed FIRST + i (default 1) and from nothing else. The environment
variable MOE_RANDOM_CASES replaces CASES, MOE_RANDOM_SEED replaces FIRST.

Against the interpreter, |got - expected| <= 2e-5 + 2e-5 |expected| (1e-4 for a
whole model): products are the same chains of FMAs there, but exponentials come
from the C library. Between -O0, the default, and the levels of one library, and
for kernel shapes of x86-64-v4 run with v3 features, files must be the same.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "Tools", "Inputs"))
import st  # noqa: E402

BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def pack(values, dtype):
    """The bytes of `values`; rounded towards zero in BF16."""
    if dtype == "BF16":
        data = struct.pack("<%df" % len(values), *values)
        return bytearray(b"".join(data[i + 2:i + 4]
                                  for i in range(0, len(data), 4)))
    return bytearray(struct.pack("<%d%s" % (len(values), {
        "F32": "f", "F16": "e"}[dtype]), *values))


class Case:
    """One model in a directory of its own, and runs of it."""

    def __init__(self, seed, tools):
        self.random = random.Random(seed)
        self.tools = tools
        self.path = tempfile.mkdtemp(prefix="moe-random-")
        self.tensors = {}
        self.config = {}
        self.libraries = {}

    def file(self, name):
        return os.path.join(self.path, name)

    def tensor(self, shape, dtype, scale=1.0, coarse=False):
        """Values around 0; `coarse` ones are often equal to each other."""
        count = 1
        for size in shape:
            count *= size
        r = self.random
        values = [r.choice((-1, -0.5, 0, 0.5, 1)) * scale if coarse else
                  r.gauss(0, scale) for _ in range(count)]
        return dtype, list(shape), pack(values, dtype)

    def add(self, name, shape, dtype, scale=1.0, coarse=False):
        self.tensors[name] = self.tensor(shape, dtype, scale, coarse)

    def save(self):
        with open(self.file("config.json"), "w") as file:
            json.dump(self.config, file, indent=1)
        st.save(self.file("model.safetensors"), self.tensors)

    def call(self, tool, *arguments, allowed=(0,)):
        command = [os.path.join(self.tools, tool), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120)
        if done.returncode not in allowed:
            raise AssertionError("%s\nexit code %d: %s" % (
                " ".join(command), done.returncode,
                done.stdout.decode(errors="replace")))
        return done

    def build(self):
        self.call("moe-import", self.path, "-o", self.file("m.mlir"))
        for name, flags in (("O0", ["-O0", "--target=cpu:x86-64-v3"]),
                            ("O2", []),
                            ("v4 shapes on v3", ["--target=cpu:x86-64-v3",
                                                 "--tile=x86-64-v4"])):
            self.libraries[name] = self.file(name.replace(" ", "-") + ".so")
            self.call("moe-compile", self.path, *flags,
                      "-o", self.libraries[name])

    def compare(self, function, inputs, tolerance, optional):
        """One call, by the interpreter and by every library and level."""
        source, want = self.file("in"), self.file("want")
        st.save(source, inputs)
        self.call("moe-opt", self.file("m.mlir"), "--interpret=" + function,
                  "--params=" + self.path, "--input=" + source,
                  "--output=" + want)
        first = None
        for name, library in self.libraries.items():
            for level in ("3", "4") if name == "O2" else ("3",):
                result = self.file("out")
                run = self.call(
                    "moe-run", library, "-q", "--params=" + self.path,
                    "--function=" + function, "--input=" + source,
                    "--level=" + level, "--output=" + result,
                    "--expect=" + want, "--rtol=%g" % tolerance,
                    "--atol=%g" % tolerance, *optional, allowed=(0, 4))
                if run.returncode == 4 and level == "4":
                    continue  # this CPU has no such level
                assert run.returncode == 0, run.stdout.decode()
                with open(result, "rb") as file:
                    data = file.read()
                if first is None:
                    first = name, level, data
                assert data == first[2], (
                    "%s at level %s gives other bits than %s at level %s" %
                    (name, level, first[0], first[1]))


class RandomLayer(Case):
    def network(self, hidden):
        r = self.random
        return {
            "kind": r.choice(("glu", "glu", "mlp2")),
            "activation": r.choice(("silu", "gelu", "gelu_tanh", "relu",
                                    "relu2", "identity")),
            "bias": r.random() < 0.4,
            "intermediate_size": r.choice((1, 3, 8, 12, 17, 33)),
        }

    def add_network(self, prefix, network, dtype, stack=()):
        hidden, inner = self.config["hidden_size"], network["intermediate_size"]
        shapes = {"up": (inner, hidden), "down": (hidden, inner)}
        if network["kind"] == "glu":
            shapes["gate"] = (inner, hidden)
        for name, (n, k) in shapes.items():
            self.add("%s.%s.weight" % (prefix, name), (*stack, n, k), dtype,
                     1.5 / (k + 1) ** 0.5)
            if network["bias"]:
                self.add("%s.%s.bias" % (prefix, name), (*stack, n), dtype, 0.3)

    def create(self):
        r = self.random
        dtype = r.choice(("F32", "F32", "F16", "BF16"))
        hidden = r.choice((1, 2, 7, 8, 16, 20, 31, 40))
        experts = r.choice((1, 2, 3, 5, 8, 16, 19))
        self.ties = r.random() < 0.4
        self.config = {"model_type": "moe_layer", "hidden_size": hidden,
                       "num_experts": experts,
                       "top_k": r.randint(1, min(experts, 5)),
                       "expert": self.network(hidden)}
        router = {"score": r.choice(("softmax", "sigmoid")),
                  "bias": r.random() < 0.3,
                  "expert_scale": r.random() < 0.3,
                  "scale": r.choice((1.0, 1.0, 2.5)),
                  "apply": r.choice(("output", "output", "input"))}
        router["select"] = r.choice(("score", "logit"))
        if router["select"] == "score":
            router["select_bias"] = r.random() < 0.4
        if r.random() < 0.3:
            router["weight"] = "softmax_selected"
        if r.random() < 0.6:
            router["normalize"] = r.choice((
                {}, {"p": 2}, {"eps": 1e-20}, {"p": 1, "floor": 0.5},
                {"p": 2, "eps": 1e-3, "floor": 1e-12}))
        self.config["router"] = router
        stacked = r.random() < 0.3
        if stacked:
            self.config["expert_weights"] = "stacked"
        self.add("router.weight", (experts, hidden), dtype,
                 0.5 if self.ties else 1.5 / hidden ** 0.5, self.ties)
        for flag in ("bias", "select_bias", "expert_scale"):
            if router.get(flag):
                self.add("router." + flag, (experts,), dtype, 0.5, self.ties)
        if stacked:
            self.add_network("experts", self.config["expert"], dtype, (experts,))
        else:
            for e in range(experts):
                self.add_network("experts.%d" % e, self.config["expert"], dtype)
        if r.random() < 0.3:
            self.config["shared_expert"] = self.network(hidden)
            self.add_network("shared", self.config["shared_expert"], dtype)
        self.save()

    def check(self):
        for tokens in (0, 1, 2, 7, 13):
            shape = (tokens, self.config["hidden_size"])
            self.compare("layer", {"hidden_states": self.tensor(
                shape, "F32", 1.0, self.ties)}, 2e-5, ["--optional"])


class RandomMixtral(Case):
    def create(self):
        r = self.random
        dtype = r.choice(("F32", "F16", "BF16", "BF16"))
        kv_heads = r.choice((1, 2, 3))
        heads = kv_heads * r.choice((1, 2, 3))
        head_dim = r.choice((2, 6, 8, 20))
        hidden, inner = r.choice((9, 16, 24, 35)), r.choice((5, 8, 19))
        experts, vocab = r.choice((2, 3, 5)), r.choice((11, 32, 53))
        tied = r.random() < 0.5
        self.vocab = vocab
        self.config = {
            "architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
            "hidden_act": "silu", "hidden_size": hidden,
            "intermediate_size": inner, "max_position_embeddings": 64,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": head_dim, "num_hidden_layers": 2,
            "num_local_experts": experts,
            "num_experts_per_tok": r.randint(1, experts),
            "rms_norm_eps": 1e-5, "rope_theta": r.choice((1e4, 1e6)),
            "sliding_window": r.choice((None, 1, 3, 20)),
            "tie_word_embeddings": tied, "vocab_size": vocab}

        def add(name, *shape):
            self.add(name + ".weight", shape, dtype, 1 / shape[-1] ** 0.5)

        add("model.embed_tokens", vocab, hidden)
        if not tied:
            add("lm_head", vocab, hidden)
        add("model.norm", hidden)
        for layer in range(2):
            prefix = "model.layers.%d." % layer
            add(prefix + "input_layernorm", hidden)
            add(prefix + "post_attention_layernorm", hidden)
            for name, n in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                add(prefix + "self_attn.%s_proj" % name, n * head_dim, hidden)
            add(prefix + "self_attn.o_proj", hidden, heads * head_dim)
            add(prefix + "block_sparse_moe.gate", experts, hidden)
            for e in range(experts):
                expert = prefix + "block_sparse_moe.experts.%d." % e
                add(expert + "w1", inner, hidden)
                add(expert + "w2", hidden, inner)
                add(expert + "w3", inner, hidden)
        self.save()

    def check(self):
        r = self.random
        for rows, length in ((1, 1), (2, 3), (1, 21), (3, 0), (0, 2)):
            ids = [r.randrange(self.vocab) for _ in range(rows * length)]
            self.compare("forward", {"input_ids": (
                "I64", [rows, length],
                bytearray(struct.pack("<%dq" % len(ids), *ids)))}, 1e-4,
                ["--optional"])
        # Prefill and decode: the same continuation from every library.
        tokens = ",".join(str(r.randrange(self.vocab)) for _ in range(5))
        texts = {name: self.call(
            "moe-run", library, "-q", "--params=" + self.path,
            "--tokens=" + tokens, "--max-new-tokens=12").stdout
            for name, library in self.libraries.items()}
        assert len(set(texts.values())) == 1, texts


def main(kind, tools, cases, first="1"):
    cases = int(os.environ.get("MOE_RANDOM_CASES") or cases)
    first = int(os.environ.get("MOE_RANDOM_SEED") or first)
    classes = {"layer": RandomLayer, "mixtral": RandomMixtral}
    for seed in range(first, first + cases):
        case = classes[kind](seed, tools)
        try:
            case.create()
            case.build()
            case.check()
        except AssertionError as error:
            sys.exit("seed %d (kept in %s): %s\n%s" % (
                seed, case.path, json.dumps(case.config), error))
        shutil.rmtree(case.path)
    print("%d cases agree" % cases)


if __name__ == "__main__":
    main(*sys.argv[1:])
