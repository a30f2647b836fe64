"""Writes unicode_tables.cpp: python3 make_unicode_tables.py > unicode_tables.cpp

Which letters and numbers there are, which characters decompose and which combine is asked of the `tokenizers`
package, whose regular expressions and normal forms ours stand in for. They are of two versions of Unicode: 16 (letters
and numbers) and 9 (normal forms). So a library cannot take the place of the tables: ICU 72 normalises alike when it is
held to [:age=9.0:], but 5,004 letters and numbers are not in its Unicode 15. What an assigned character decomposes
to, and its combining class, never change, so these come from the standard unicodedata.
"""

import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

LAST = 0x110000
NFC = normalizers.NFC().normalize_str
NFD = normalizers.NFD().normalize_str
FIRST_CLASS, LAST_CLASS = "\u0334", "\u0345"  # marks of class 1 and 240: any other changes places with one of them


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


def combining_class(c):
    """The class that NFD orders by; 0 for what it leaves in its place."""
    mark = unicodedata.combining(chr(c))
    swaps = any(NFD(first + second) != NFD(first) + NFD(second)
                for first, second in ((chr(c), FIRST_CLASS), (LAST_CLASS, chr(c))))
    return mark if swaps else 0


def canonical(c):
    """The one or two characters that NFD takes c for, which may decompose further; None for itself."""
    if 0xAC00 <= c < 0xD7A4 or NFD(chr(c)) == chr(c):  # Hangul is done by arithmetic
        return None
    return [int(part, 16) for part in unicodedata.decomposition(chr(c)).split()]


def composes(c, parts):
    """Whether NFC puts these two together again (not so for the composition exclusions)."""
    return len(parts) == 2 and NFC(chr(parts[0]) + chr(parts[1])) == chr(c)


def main():
    print("// Made by make_unicode_tables.py; do not edit. As tokenizers", tokenizers.__version__, "has them.")
    print("// clang-format off")
    print('#include "engine/tokenizer/unicode_tables.hpp"\n')
    print("namespace rota_lm::unicode {\n")
    emit("range", "letters", runs(matching(r"\p{L}")))
    emit("range", "numbers", runs(matching(r"\p{N}")))
    classes = {}
    for c in code_points():
        if unicodedata.combining(chr(c)) and combining_class(c):
            classes.setdefault(combining_class(c), set()).add(c)
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
