"""Trains the byte-level BPE tokenizer of rota-synth on the generator's corpus.

    python train_tokenizer.py --generate build/generate --out ../checkpoints/rota-synth
"""
import argparse
import json
import pathlib
import subprocess

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END = "<|endoftext|>"
# Qwen2's own pattern: digits split singly, so a number is as many tokens as it has digits.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus(generate, documents, seed):
    command = [generate, "--split", "train", "--task", "mix", "--seed", str(seed), "--count",
               str(documents), "--length", "512", "--format", "text"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield from process.stdout


def build(vocabulary):
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,  # the special token goes last, as in Qwen2
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    return tokenizer, trainer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generate", required=True, help="the compiled generator")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=1600)
    parser.add_argument("--documents", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=900_000_000)
    a = parser.parse_args()
    tokenizer, trainer = build(a.vocabulary)
    tokenizer.train_from_iterator(corpus(a.generate, a.documents, a.seed), trainer)
    tokenizer.add_special_tokens([END])
    a.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(a.out / "tokenizer.json"))
    settings = {
        "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": END, "errors": "replace", "model_max_length": 2048, "pad_token": END,
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
        "added_tokens_decoder": {str(tokenizer.token_to_id(END)): {
            "content": END, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": True}},
    }
    (a.out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"{tokenizer.get_vocab_size()} tokens, {END} is {tokenizer.token_to_id(END)}")


if __name__ == "__main__":
    main()
