# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Does the compiled demo model continue its prompts as transformers did?

    demo.py MOE-RUN MODULE MODEL-DIR [FLAG...]

golden.safetensors holds prompt.{i} and greedy.{i}, the 64 tokens after it. Text
comes from --prompt, and ids from --tokens.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "Tools", "Inputs"))
import st  # noqa: E402

run, module, directory, *flags = sys.argv[1:]
golden = st.load(os.path.join(directory, "golden.safetensors"))


def moe_run(*arguments):
    done = subprocess.run([run, module, "--params=" + directory, *flags,
                           *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("exit code %d: %s" % (done.returncode, done.stderr.decode()))
    if b"tokens/s" not in done.stderr:
        sys.exit("no rate on stderr: %r" % done.stderr)
    return done.stdout


prompts = sorted(name for name in golden if name.startswith("prompt."))
if not prompts:
    sys.exit("golden.safetensors holds no prompt")
for name in prompts:
    prompt = list(st.unpack(golden[name]))
    wanted = list(st.unpack(golden[name.replace("prompt", "greedy")]))
    count = "--max-new-tokens=%d" % len(wanted)
    text = moe_run("--prompt=" + bytes(prompt).decode(), count)
    if text != bytes(wanted) + b"\n":
        sys.exit("%s: got %r, expected %r" % (name, text, bytes(wanted)))
    ids = moe_run("--tokens=" + ",".join(map(str, prompt)), count)
    if ids.decode() != ",".join(map(str, wanted)) + "\n":
        sys.exit("%s: got ids %s, expected %s" % (name, ids.decode(), wanted))
    print("%s: %d tokens agree: %r" % (name, len(wanted), text.decode()))
