#!/usr/bin/env python3
"""Ask `tokenizers` for normal forms (text/normal_forms.json) and for the text of random tokens (text/decodings.json)."""
import json
import random
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = Path(__file__).resolve().parent / "text"
NFC = normalizers.NFC().normalize_str
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def digest(texts):
    """FNV-1a, 64 bits, of the normal forms, a zero byte after each."""
    value = 0xCBF29CE484222325
    for text in texts:
        for byte in NFC(text).encode() + b"\0":
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def runs(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def normal_forms():
    marks = [c for c in CODE_POINTS if unicodedata.combining(chr(c))]
    texts = ["\U00011935\U00011930", "\U00011938"]  # a pair that composes since Unicode 13
    for c in marks:
        text = "e\u0345" + chr(c) + "\u0334"  # marks of the last and the first class: a third changes places with both
        if NFC(text) != unicodedata.normalize("NFC", text):  # marks that `tokenizers` does not know
            texts.append(text)
    return {"code_points": digest(map(chr, CODE_POINTS)), "marks": runs(marks),
            "pairs_of_marks": digest("a" + chr(a) + chr(b) for a in marks for b in marks),
            "texts": [[t, NFC(t)] for t in texts]}


METASPACE = decoders.Replace("\u2581", " ")
FORMS = {
    "none": None,
    "llama_2": decoders.Sequence([METASPACE, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
    "metaspace_first": decoders.Metaspace(prepend_scheme="first"),
    "metaspace_never": decoders.Metaspace(prepend_scheme="never"),
    "fallback_then_metaspace": decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")]),
    "byte_level": decoders.ByteLevel(),
    "replace_in_fused": decoders.Sequence([decoders.Fuse(), decoders.Replace("aba", "[x]"), decoders.Replace("]b", "!")]),
    "bytes_then_replace": decoders.Sequence([decoders.ByteLevel(), decoders.Replace("\u00e9a", "E")]),
    "fallback_of_fused": decoders.Sequence([decoders.Fuse(), decoders.ByteFallback()]),
    "strip_each": decoders.Sequence([decoders.Strip("a", 1, 0), decoders.Fuse(), decoders.Strip("b", 2, 0)]),
    "strip_end_of_fused": decoders.Sequence([METASPACE, decoders.Fuse(), decoders.Strip(" ", 0, 2)]),
}
TOKENS = ["<unk>", "a", "b", "ab", "aba", "\u2581", "\u2581a", "\u2581\u2581", " ", "  b ", "\u00e9", "\ufffd", "x\u2581y",
          "\u65e5", "\U0001f999"]
# Bytes of "é", "日" and U+1F999, and two that are in no UTF-8, spelled in both ways.
BYTES = [0xC3, 0xA9, 0xE6, 0x97, 0xA5, 0xF0, 0x9F, 0xA6, 0x99, 0xFF, 0xC0, 0x61]
LETTERS = {b: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(c)[0][0]
           for b, c in ((0x20, " "), (0x61, "a"))}


def byte_letter(byte):
    printable = 0x21 <= byte <= 0x7E or (byte >= 0xA1 and byte != 0xAD)
    others = [b for b in range(256) if not (0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD))]
    return chr(byte) if printable else chr(0x100 + others.index(byte))


def make_tokenizer(form):
    assert all(byte_letter(b) == c for b, c in LETTERS.items())
    tokens = list(dict.fromkeys(TOKENS + [f"<0x{b:02X}>" for b in BYTES] + [byte_letter(b) for b in BYTES]))
    t = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(tokens)}, merges=[], unk_token="<unk>"))
    t.add_special_tokens([AddedToken("<s>", special=True)])
    t.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    if FORMS[form] is not None:
        t.decoder = FORMS[form]
    return t


def random_ids(r, size):
    """Runs of bytes, which are characters here and there, among anything."""
    ids = []
    while len(ids) < r.randint(1, 14):
        start = len(TOKENS) + len(BYTES) * r.randint(0, 1)
        whole = r.choice([[0, 1], [2, 3, 4], [5, 6, 7, 8], [r.randrange(len(BYTES))], [5, 6, 7], [2, 3]])
        ids += [min(start + i, size - 1) for i in whole] if r.random() < 0.5 else [r.randrange(size)]
    return ids


def decodings():
    out = []
    for form in FORMS:
        t, r, rows = make_tokenizer(form), random.Random(form), []
        while len(rows) < 60:
            ids = random_ids(r, t.get_vocab_size())
            try:
                rows.append([ids, t.decode(ids)])
            except BaseException as e:  # tokenizers panics when there is less than Strip's stop to strip
                assert "PanicException" in type(e).__name__, e
        out.append({"form": form, "tokenizer": json.loads(t.to_str()), "decoded": rows})
    return out


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    (HERE / "normal_forms.json").write_text(json.dumps(normal_forms(), separators=(",", ":")) + "\n")
    forms = ",\n".join(json.dumps(form, separators=(",", ":")) for form in decodings())
    (HERE / "decodings.json").write_text(f"[\n{forms}\n]\n")
