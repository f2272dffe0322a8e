"""A tiny model folder built on the spot: a byte-level tokenizer and chat templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Leaves the stop token out of the markers, as some templates do.
MARKED_SHORT = MARKED.replace(
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}",
    "{{ message['content'] }}{% endgeneration %}{{ '<|im_end|>' }}",
)
# Shows the thinking of the last answer only, and an empty thought where there is none.
REWRITING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}"
    "{{ '<think>' + (message.reasoning_content or '') + '</think>' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "marked": MARKED,
    "marked_short": MARKED_SHORT,
    "rewriting": REWRITING,
}
_SPECIAL = ["<|endoftext|>", "<s>", "<|im_start|>", "<|im_end|>"]
_TEXT = [
    "Where should I eat in Rome? Try the market in Testaccio, it is lively and cheap!",
    "¿Qué comer en Sevilla? Prueba el salmorejo, ¿te gusta el tomate?",
    "system user assistant travel plan answer question hello world",
]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """make_model("chatml" | ... | None, bos=False) -> folder of a model without weights."""

    def make(template: str | None = "marked", bos: bool = False, eos: str = "<|im_end|>") -> Path:
        folder = tmp_path_factory.mktemp("model")
        end = write_tokenizer(folder, bos)
        names = {"eos_token": eos, "pad_token": "<|endoftext|>", "bos_token": "<s>"}
        config: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        if template:
            source = TEMPLATES.get(template, template)
            (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [end]}))
        (folder / "config.json").write_text(json.dumps({"eos_token_id": end}))
        return folder

    return make


def write_tokenizer(folder: Path, bos: bool) -> int:
    """A byte-level BPE that cuts at 4 tokens and trims offsets: the loader must undo both.

    Returns the id of <|endoftext|>.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from tokenizers import processors as processing

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(_TEXT * 4, trainer)
    raw.add_special_tokens([AddedToken(name, normalized=False) for name in _SPECIAL])
    raw.post_processor = processing.ByteLevel(trim_offsets=True)
    if bos:
        raw.post_processor = processing.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
        )
    raw.enable_truncation(4)
    raw.save(str(folder / "tokenizer.json"))
    return raw.token_to_id("<|endoftext|>")


@pytest.fixture(scope="session")
def model(make_model: Callable[..., Path]) -> Path:
    """The usual model: a template with generation markers."""
    return make_model("marked")


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """write_rows([...], "name.jsonl") -> a file of one row per line; bytes are written as is."""

    def write(rows: list[object] | bytes, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        if isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
