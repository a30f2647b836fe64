"""Writes unicode_tables.cpp: python3 make_unicode_tables.py > unicode_tables.cpp

Letters and numbers are asked of the `tokenizers` package, whose regular expressions ours stand in for:
its version of Unicode is the one to agree with. Decompositions and combining classes come from the
standard unicodedata.
"""

import sys
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

LAST = 0x110000


def code_points():
    return (c for c in range(LAST) if not 0xD800 <= c < 0xE000)


def runs(wanted):
    """Maximal runs [first, last] of a set of code points."""
    out = []
    for c in sorted(wanted):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def matching(pattern):
    """The code points that the pattern matches: those that it splits off their neighbours."""
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return {c for c in code_points() if c and len(split.pre_tokenize_str(f"\1{chr(c)}\1")) > 1}


def emit(kind, name, rows):
    print(f"const {kind} {name}_table[] = {{")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(f"{x:#x}" for x in row) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")
    print(f"const std::span<const {kind}> {name} = {name}_table;\n")


def canonical(c):
    text = unicodedata.decomposition(chr(c))
    if not text or text.startswith("<"):
        return None
    return [int(part, 16) for part in text.split()]


def composes(c, parts):
    """Whether NFC puts these two together again (not so for the composition exclusions)."""
    return len(parts) == 2 and unicodedata.normalize("NFC", chr(parts[0]) + chr(parts[1])) == chr(c)


def main():
    print("// Made by make_unicode_tables.py; do not edit. Letters and numbers: tokenizers", tokenizers.__version__)
    print("// (\\p{L}, \\p{N}); decompositions and combining classes: Unicode",
          unicodedata.unidata_version)
    print("// clang-format off")
    print('#include "engine/tokenizer/unicode_tables.hpp"\n')
    print("namespace rota_lm::unicode {\n")
    emit("range", "letters", runs(matching(r"\p{L}")))
    emit("range", "numbers", runs(matching(r"\p{N}")))
    classes = {}
    for c in code_points():
        if unicodedata.combining(chr(c)):
            classes.setdefault(unicodedata.combining(chr(c)), set()).add(c)
    rows = sorted([*run, k] for k, members in classes.items() for run in runs(members))
    emit("class_range", "combining_classes", rows)
    split = [(c, canonical(c)) for c in code_points() if canonical(c)]
    pairs = [(c, *p) for c, p in split if composes(c, p)]
    others = [(c, *(p + [0])[:2]) for c, p in split if not composes(c, p)]
    emit("decomposition", "pairs", pairs)
    emit("decomposition", "exclusions", others)
    print("}  // namespace rota_lm::unicode")


if __name__ == "__main__":
    sys.exit(main())
