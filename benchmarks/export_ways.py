"""The ways that benchmarks/export.py compares, each in a process that this file is the program of.

Prints the seconds of each stage as JSON. `folder` has base/ and adapter/; the result is
out/result.gguf.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COPY_BYTES = 1 << 24
Shape = tuple[int, int, int, int, int, int]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--llama-cpp", type=Path)
    options = parser.parse_args()
    stages: dict[str, float] = {}
    WAYS[options.way](options, stages)
    print(json.dumps(stages))
    return 0


@contextmanager
def timed(stages: dict[str, float], name: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - begin


def afina(options: argparse.Namespace, stages: dict[str, float]) -> None:
    """Our way, over the merged tensors."""
    with timed(stages, "imports"):
        from core.runs.target import Target
        from exporters.gguf.prepare import prepare
        from exporters.gguf.write import write_gguf

        base, adapter = str(options.folder / "base"), str(options.folder / "adapter")
        prepared = prepare(Target("x", "hf", base, adapter=adapter, label="x"))
    with timed(stages, "export"):
        files = {options.to: options.folder / "out/result.gguf"}
        write_gguf(prepared, files, lambda *values: None, threads=options.threads or None)


def peer(options: argparse.Namespace, stages: dict[str, float]) -> None:
    """PEFT, then llama.cpp's converter, then its quantizer; each a program of its own, as people
    run them.
    """
    out = options.folder / "out"
    whole = out / ("result.gguf" if options.to == "f16" else "whole.gguf")
    with timed(stages, "merge"):
        _call("merge", options)
    with timed(stages, "convert"):
        words = [out / "merged", "--outfile", whole, "--outtype", "f16"]
        program = f"import sys; sys.argv[0] = 'convert'; {CONVERT.format(str(options.llama_cpp))}"
        subprocess.run([sys.executable, "-c", program, *map(str, words)], check=True, stdout=2)
    if options.to != "f16":
        with timed(stages, "quantize"):
            _call("quantize", options)


# The random model's tokenizer is none that the converter knows by its hash, and no sentencepiece
CONVERT = (
    "sys.path[:0] = [{0!r}, {0!r} + '/gguf-py']; import convert_hf_to_gguf as program; "
    "from conversion.base import TextModel; "
    "TextModel.get_vocab_base_pre = lambda *_: 'gpt-2'; "
    "TextModel._set_vocab_sentencepiece = TextModel._set_vocab_gpt2; program.main()"
)


def _call(way: str, options: argparse.Namespace) -> None:
    words = [way, "--folder", str(options.folder), "--to", options.to]
    subprocess.run([sys.executable, "-m", __spec__.name, *words], check=True, stdout=2)


def merge(options: argparse.Namespace, stages: dict[str, float]) -> None:
    """In the model's own dtype, which is PEFT's usual way and rounds the sum."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, merged = options.folder / "base", options.folder / "out/merged"
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    model = PeftModel.from_pretrained(model, str(options.folder / "adapter")).merge_and_unload()
    model.save_pretrained(merged)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, merged / name)


def quantize(options: argparse.Namespace, stages: dict[str, float]) -> None:
    import ctypes

    import llama_cpp

    from exporters.gguf.types import TYPES

    out = options.folder / "out"
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = TYPES[options.to].file_type, len(os.sched_getaffinity(0))
    words = (str(out / "whole.gguf").encode(), str(out / "result.gguf").encode())
    if llama_cpp.llama_model_quantize(*words, ctypes.pointer(params)):
        raise SystemExit("llama.cpp's quantizer failed")


def copy(options: argparse.Namespace, stages: dict[str, float]) -> None:
    """The bytes of the base read once, and as many as the result has written once."""
    from core.runs.target import Target
    from exporters.gguf.prepare import prepare
    from exporters.gguf.types import TYPES, file_bytes

    base = options.folder / "base"
    prepared = prepare(Target("x", "hf", str(base), label="x"))
    size = file_bytes(prepared.kinds(TYPES[options.to]), prepared.shapes, 0)
    buffer = bytearray(COPY_BYTES)
    with timed(stages, "read"), open(base / "model.safetensors", "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    with timed(stages, "write"), open(options.folder / "out/result", "wb", buffering=0) as file:
        for start in range(0, size, COPY_BYTES):
            file.write(memoryview(buffer)[: size - start])
        os.fsync(file.fileno())


WAYS = {"afina": afina, "peer": peer, "merge": merge, "quantize": quantize, "copy": copy}


def build(folder: Path, family: str, shape: Shape) -> int:
    """Writes base and adapter; returns how many parameters the base has."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    hidden, intermediate, layers, heads, key_heads, rows = shape
    config = getattr(transformers, f"{family}Config")(
        vocab_size=rows,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)  # never whole in float32
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder / "base")
    write_tokenizer(folder / "base", rows)
    parameters = model.num_parameters()
    tuned = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    tuned.save_pretrained(str(folder / "adapter"))
    return parameters


def write_tokenizer(folder: Path, rows: int) -> None:
    """As many words as rows, so that each way writes the same vocabulary: a stop token, the bytes,
    one merge (llama.cpp wants some), and names for the other rows.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = ["</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    known += [f"w{place}" for place in range(rows - len(known))]
    vocabulary = {word: place for place, word in enumerate(known)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "chat_template": "{% for m in messages %}{{ m.content }}</s>{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    raise SystemExit(main())
