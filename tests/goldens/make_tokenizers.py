#!/usr/bin/env python3
"""Make the tokenizers of the micro checkpoints, in the form those models ship, and their goldens.

The vocabularies are tiny and trained on the text below; normalizer, pre-tokenizer, post-processor, decoder and the
flags of the model are those of the published files. Byte-level ids 0..343 are bytes and merges, added tokens follow.
"""
import json
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent / "micro"
VOCAB, ADDED_FROM = 352, 344

TEXT = """The store keeps the keys and the values of the tokens that matter, and the rest of the cache is given back.
There was a small house near the river, and in the house there lived an old woman who kept the letters of her sons.
"I'll go," she said, "and you'll stay; they're not here, we've no time, it's late, don't ask, I'd rather walk."
In 1987 the price was 12 dollars, in 2024 it was 1024; the key is 123 456 789, the value 3.14159, the year 2000.
for (int i = 0; i < n; ++i) {\n    if (x[i] == 0) {\n        return;\n    }\n}\n\n
\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002
caf\u00e9 na\u00efve r\u00e9sum\u00e9 caf\u00e9 \U0001f600\U0001f600
"""

STRINGS = [
    "", " ", "  ", "     ", "\n", "\n\n\n", "\t", " \n \n ", "a", " a", "a ", "  two  spaces  inside  ",
    "The store keeps the keys and the values.",
    "the the the theatre",
    "compression is Rota's work, compression!",
    "I'll we've they're it's don't I'd I'm",
    "I'LL WE'VE THEY'RE IT'S DON'T",
    "rock 'n' roll isn\u2019t 'tis",
    "0 7 42 123 1234 12345 123456 1234567",
    "3.14159 -2e10 1,000,000 v2.0 a1b22c333",
    "x\u00b2 \u00bd \u2163 \u0663\u0664 \u0967\u0968\u0969",  # numbers that are not 0..9
    "for (int i = 0; i < n; ++i) {\n    return;\n}\n",
    "line one\r\nline two\r\n\r\nline three  \n  end",
    "!!! ??? ... --- *** (a) [b] {c} <d>",
    "...\n\n!!\r\nx",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "caf\u00e9 na\u00efve r\u00e9sum\u00e9 \u00c5ngstr\u00f6m \u1e9e\u0111",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",  # marks are not letters
    "x\u0338 q\u0323\u0307 \u0301",  # combining marks that NFC leaves alone
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "no\u00a0break\u3000wide\u2003em\u200bzero\u0085nel\u2028line",
    "\u2581under \u2581\u2581 bar_\u2581",
    "\u0120the \u010a bytes",
    "\x00\x01\x7f control",
    "\ufffd\ufeff bom",
    "  leading",
    "trailing  ",
    "tabs\t\tand \t mix",
    "A" * 40,
    "mixedCASEandCamelCase snake_case kebab-case",
    "https://example.org/a?b=c&d=%20#e",
    "\U00020000\U0001d54f\ue000",
]
SPECIAL = {  # the model's own, in the places that go wrong
    "qwen2": ["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", "a <|endoftext|> b",
              "<|endoftext|><|endoftext|>", "<|im_start", "x<|im_end|>"],
    "qwen3": ["<|im_start|>user\nhello<|im_end|>\n<think>\n\n</think>\n\nyes", "a <think> b", "<|endoftext|>",
              "<think"],
    "llama": ["<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>", "a <|end_of_text|> b",
              "<|begin_of_text|>", "<|begin_of_text|>the", "<|eot_id"],
    "mistral": ["<s>the house</s>", "a <s> b", "the</s>the</s> the", "<s>", "<unk>", "</s", "<0x41>"],
}
assert all(unicodedata.is_normalized("NFC", s) for s in STRINGS)
QWEN_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
              r"|\s+(?!\S)|\s+")
LLAMA_SPLIT = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def special(*contents):
    return [AddedToken(c, special=True, normalized=False) for c in contents]


def begin_with(token, number):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
                                         special_tokens=[(token, number)])


def train_bytes(t, size):
    t.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    assert t.get_vocab_size() == size, t.get_vocab_size()


def qwen(added):
    t = Tokenizer(models.BPE())
    byte_level = dict(add_prefix_space=False, trim_offsets=False, use_regex=False)
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"), pre_tokenizers.ByteLevel(**byte_level)])
    t.post_processor = processors.ByteLevel(**byte_level)
    t.decoder = decoders.ByteLevel()
    train_bytes(t, ADDED_FROM)
    t.add_tokens(added)
    j = json.loads(t.to_str())
    j["decoder"].update(byte_level)  # flags that the Python classes do not take, and that mean nothing here
    j["model"].update(continuing_subword_prefix="", end_of_word_suffix="")
    return j


def llama():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    whole = ["\u0120compression", "Rota", "\u0120theatre"]  # in the vocabulary, but no merge leads to them
    train_bytes(t, ADDED_FROM - len(whole))
    t.add_tokens([AddedToken(w) for w in whole])  # only to keep their ids free; they move into the model below
    t.add_tokens(special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                         "<|eot_id|>"))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True),
        begin_with("<|begin_of_text|>", ADDED_FROM)])
    j = json.loads(t.to_str())
    j["added_tokens"] = [a for a in j["added_tokens"] if a["content"] not in whole]
    for i, w in enumerate(whole):
        j["model"]["vocab"][w] = ADDED_FROM - len(whole) + i
    return j


def mistral(metaspace):
    words = Tokenizer(models.BPE())  # learns the merges; no piece spans two words
    words.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first")
    letters = sorted(set(c for c in TEXT if c.isascii() and c.isprintable() and c != " ") | {"\u2581", "\u00e9"})
    fixed = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    text = "".join(c if c in letters or c in " \n" else "\n" for c in TEXT)
    kept = [c for c in letters if c == "\u2581" or text.count(c) > 6]  # the rare ones fall back to bytes
    text = "".join(c if c in kept or c == " " else " " for c in text)
    words.train_from_iterator([text], trainers.BpeTrainer(vocab_size=VOCAB - len(fixed), show_progress=False))
    model = json.loads(words.to_str())["model"]
    chars = [p for p in model["vocab"] if len(p) == 1]
    pieces = sorted((p for p in model["vocab"] if len(p) > 1), key=model["vocab"].get)
    vocab = {p: i for i, p in enumerate(fixed + pieces + chars)}  # sentencepiece's order: merges first, then letters

    merges = [tuple(m) for m in model["merges"]]
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.add_tokens(special("<unk>", "<s>", "</s>"))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.post_processor = begin_with("<s>", 1)
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    j = json.loads(t.to_str())
    if not metaspace:
        del j["model"]["ignore_merges"]  # older files do not have it
    return j


def write(name, stem, j, merges_as_strings, config=None):
    if merges_as_strings:  # as files made before tokenizers 0.20 have them
        j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(j, ensure_ascii=False, indent=1) + "\n")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    t = Tokenizer.from_file(str(path))
    rows = []
    for text in STRINGS + SPECIAL[name]:
        ids = t.encode(text).ids
        rows.append(dict(text=text, ids=ids, decoded=t.decode(ids),
                         decoded_with_special=t.decode(ids, skip_special_tokens=False)))
    # one row a line, escaped to ASCII: surrogate pairs exercise the reader too
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / f"{stem}_golden.json").write_text(f"[\n{lines}\n]\n")
    lost = sum(r["decoded"] != r["text"] for r in rows[:len(STRINGS)])
    merges = len(j["model"]["merges"])
    print(f"{name:8} {stem:20} vocabulary {t.get_vocab_size()}, {merges} merges, {len(rows)} strings, {lost} plain "
          f"ones do not come back as they were")


if __name__ == "__main__":
    write("qwen2", "tokenizer", qwen(special("<|endoftext|>", "<|im_start|>", "<|im_end|>")), True,
          dict(tokenizer_class="Qwen2Tokenizer", bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
               add_prefix_space=False, add_bos_token=False))
    think = [AddedToken(c, special=False, normalized=False) for c in ("<think>", "</think>")]
    write("qwen3", "tokenizer", qwen(special("<|endoftext|>", "<|im_start|>", "<|im_end|>") + think), False,
          dict(tokenizer_class="Qwen2Tokenizer", bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
               add_prefix_space=False, add_bos_token=False))
    write("llama", "tokenizer", llama(), True,
          dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"))
    write("mistral", "tokenizer", mistral(False), False,
          dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
               add_bos_token=True, add_eos_token=False, legacy=True))
    write("mistral", "tokenizer_metaspace", mistral(True), True)
