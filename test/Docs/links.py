# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the relative links of all pages, and the paths that they name.

usage: links.py ROOT

A link in a Markdown file of ROOT that is not to another site must name a file
or a folder that is there; an anchor must be a heading of the page. A path in
backticks that starts with a folder of ROOT must lead to something; it may hold
{a,b} and *, and <Name> stands for anything.
"""
import glob
import os
import re
import sys

SKIPPED = {"build", "node_modules"}


def pages(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and
                            not f.startswith((".", "build")))
        for name in sorted(files):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def named_paths(text, folders):
    """Paths of the tree in backticks, as patterns."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for code in re.findall(r"`([^`\n]+)`", text):
        if re.match(r"[\w.-]+/[\w./*{},<>-]*$", code) and \
                code.split("/")[0] in folders:
            yield code


def leads_somewhere(root, path):
    choice = re.search(r"{([^{}]*)}", path)
    if choice:
        return all(leads_somewhere(root, path[:choice.start()] + option +
                                   path[choice.end():])
                   for option in choice[1].split(","))
    # Golden cases go by their names.
    return "<" in path or any(glob.glob(os.path.join(root, top, path))
                              for top in ("", "test/golden"))


def anchors(path):
    """The anchors of a page, as hosting services make them of headings."""
    text = re.sub(r"^```.*?^```", "", open(path, encoding="utf-8").read(),
                  flags=re.M | re.S)
    result = {}
    for heading in re.findall(r"^#+ +(.*?) *#*$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        count = result.get(slug, 0)
        result[slug] = count + 1
        if count:
            result[f"{slug}-{count}"] = 1
    return set(result)


def main():
    root = sys.argv[1]
    folders = {f for f in os.listdir(root) if os.path.isdir(
        os.path.join(root, f)) and f not in SKIPPED and f != ".git"}
    links = errors = 0
    for page in pages(root):
        text = open(page, encoding="utf-8").read()
        for path in named_paths(text, folders):
            if not leads_somewhere(root, path):
                print(f"error: {os.path.relpath(page, root)}: there is no "
                      f"`{path}`")
                errors += 1
        text = without_code(text)
        for target in re.findall(r"\]\(([^)\s]+)(?: +\"[^\"]*\")?\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            links += 1
            name, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), name)
                                    ) if name else page
            where = os.path.relpath(page, root)
            if not os.path.exists(path):
                print(f"error: {where}: there is no '{target}'")
                errors += 1
            elif os.path.relpath(path, root).startswith(".."):
                print(f"error: {where}: '{target}' is outside of the tree")
                errors += 1
            elif anchor and path.endswith(".md") and \
                    anchor not in anchors(path):
                print(f"error: {where}: '{target}': no such heading")
                errors += 1
    print(f"{links} links")
    return 1 if errors or not links else 0


sys.exit(main())
