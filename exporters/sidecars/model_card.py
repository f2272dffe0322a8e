"""The README of an exports' folder: what the files are, how near to what was trained, how to run.

Markdown with the front matter that hubs read. Names, data and messages are content: they are
escaped, so that nothing in them becomes a link, a tag or a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.data.escape import visible
from core.figures import short, size
from core.model_files.onnx import ADAPTER
from core.runs.run import slug
from exporters.results import FAIL, PASS, Check, Result
from exporters.sidecars.base import Base
from exporters.sidecars.modelfile import modelfile_path
from exporters.sidecars.training import Training

LIBRARIES = {"merged": "transformers", "onnx": "onnxruntime-genai", "gguf": "gguf"}

# What marks up inside a line: an underscore does outside of words, a colon and "www." in links.
_MARKS = re.compile(r"[\\`*{}\[\]<>|~&$!@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
_BEGINS = re.compile(r"^(\d*)([-+#=.)])")  # a heading, a list or a rule at a line's start


class Card(msgspec.Struct, frozen=True):
    """What a model card says."""

    label: str
    base: Base
    results: Sequence[Result]  # paths from the card's folder on
    training: Training | None = None  # None: no run of Afina's
    adapter_sha256: str | None = None
    own_template: bool = False  # trained in place of the base's; lies beside an ONNX adapter

    def text(self) -> str:
        parts = [_front_matter(self), f"# {escaped(self.label)}", _opening(self), *_parity(self)]
        parts += _commands(self)
        if self.training is not None:
            parts += _trained(self.training)
        parts.append(_licence(self.base))
        return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text in Markdown as it is: one line, no control characters, no markup."""
    plain = visible(" ".join(text.split()), newlines=False)
    return _BEGINS.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", plain), count=1)


def _front_matter(card: Card) -> str:
    import yaml

    kinds = [kind for kind in LIBRARIES if any(r.kind == kind for r in card.results)]
    values: dict[str, Any] = {}
    if card.base.is_public:
        values["base_model"] = card.base.name
        values["base_model_relation"] = "finetune"
    if card.base.licence is not None:
        licence = card.base.licence
        named = {"license_name": licence.name, "license_link": licence.link}
        values["license"] = licence.id
        values |= {key: value for key, value in named.items() if value}
    if kinds:
        values["library_name"] = LIBRARIES[kinds[0]]
    values["pipeline_tag"] = "text-generation"
    method = [card.training.method] if card.training is not None else []
    values["tags"] = ["afina", *method, *(kind for kind in kinds if kind != "merged")]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _opening(card: Card) -> str:
    name = escaped(card.base.name)
    base = f"[{name}](https://huggingface.co/{card.base.name})" if card.base.is_public else name
    return (
        f"{base}, tuned with Afina and exported to the files below. Each was put beside the tuned "
        "model itself, base and adapter in float32: the same questions, the same tokens."
        + (f" The adapter's sha256: `{card.adapter_sha256}`." if card.adapter_sha256 else "")
    )


def _parity(card: Card) -> Iterator[str]:
    """The table of all results, and what was found in those that did not pass."""
    yield "## Files"
    if not card.results:
        yield "None passed through the export yet."
        return
    rows = ["| file | size | check | KL | same answers | perplexity | tokens/s |"]
    rows.append("|---|---|---|---|---|---|---|")
    rows += [_row(result) for result in card.results]
    yield "\n".join(rows)
    tuned = next((r.perplexity_tuned for r in card.results if r.perplexity_tuned), None)
    threads = next((r.threads for r in card.results if r.threads), 0)
    said = ["KL in nats a token against the tuned model; 0 is the same."]
    if tuned is not None:
        said.append(f"The tuned model's own perplexity is {short(tuned)}.")
    if threads:
        said.append(f"Tokens/s with {threads} CPU thread{'s' * (threads > 1)}.")
    yield " ".join(said)
    for result in card.results:
        found = [check for check in result.checks if check.verdict != PASS]
        if found:
            yield "\n".join([f"`{result.path}`:", "", *map(_told, found)])


def _row(result: Result) -> str:
    agreement = "-" if result.agreement is None else f"{result.agreement:.0%}"
    figures = (
        size(result.bytes),
        _verdict(result.verdict),
        short(result.kl if result.row_kl is None else result.row_kl),  # as in the pane
        agreement,
        short(result.perplexity),
        short(result.tokens_per_s),
    )
    return f"| `{result.path}` | " + " | ".join(figures) + " |"


def _told(check: Check) -> str:
    said = f"- {_verdict(check.verdict)}: {escaped(check.message)} {escaped(check.hint)}"
    return said.rstrip()


def _verdict(verdict: str) -> str:
    return f"**{verdict}**" if verdict == FAIL else verdict


def _commands(card: Card) -> Iterator[str]:
    """How to run one file of each kind; one that failed is not offered."""
    sound = [result for result in card.results if result.verdict != FAIL]
    if not sound:
        return
    yield "## Run"
    whole = [result for result in sound if result.kind == "gguf" and result.type != "lora"]
    if whole:
        path, name = whole[0].path, slug(card.label)
        yield _code(
            f"llama-cli -m {path} --jinja -cnv",
            f"ollama create {name} -f {modelfile_path(Path(path))} && ollama run {name}",
        )
    if len(whole) > 1:
        yield "The other GGUF files run the same way."
    for result in sound:
        if result.kind == "gguf" and result.type == "lora":
            yield _code(f"llama-cli -m BASE.gguf --lora {result.path} --jinja -cnv")
    folders = {result.kind: result.path for result in reversed(sound)}
    if "merged" in folders:
        yield _code(*_transformers(folders["merged"]), language="python")
    if "onnx" in folders:
        yield _code(*_genai(folders["onnx"], card.own_template), language="python")
    yield _code(f"afina chat {_chatted(sound[0])}")


def _chatted(result: Result) -> str:
    """The words after `afina chat`: an adapter's file needs its base before it."""
    if result.path.endswith(ADAPTER):
        return f"{Path(result.path).parent.parent.as_posix()} --adapter {result.path}"
    lora = (result.kind, result.type) == ("gguf", "lora")
    return f"BASE.gguf --adapter {result.path}" if lora else result.path


def _transformers(path: str) -> tuple[str, ...]:
    return (
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{path}")',
        f'model = AutoModelForCausalLM.from_pretrained("{path}")',
        'messages = [{"role": "user", "content": "Hello!"}]',
        "prompt = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        "answer = model.generate(**prompt, max_new_tokens=200)",
        'print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :]))',
    )


def _genai(path: str, own_template: bool) -> tuple[str, ...]:
    """For a folder, or for an adapter whose base is the folder above its own."""
    apart = path.endswith(ADAPTER)
    own = apart and own_template
    template = f'template = open("{Path(path).with_suffix(".jinja").as_posix()}").read()'
    given = "messages=messages, template_str=template" if own else "messages=messages"
    folder = Path(path).parent.parent.as_posix() if apart else path
    loaded = ("adapters = og.Adapters(model)", f'adapters.load("{path}", "tuned")')
    return (
        "import onnxruntime_genai as og",
        "",
        f'model = og.Model("{folder}")',
        *(loaded if apart else ()),
        "tokenizer = og.Tokenizer(model)",
        """messages = '[{"role": "user", "content": "Hello!"}]'""",
        *((template,) if own else ()),
        f"prompt = tokenizer.apply_chat_template({given}, add_generation_prompt=True)",
        "generator = og.Generator(model, og.GeneratorParams(model))",
        *(('generator.set_active_adapter(adapters, "tuned")',) if apart else ()),
        "generator.append_tokens(tokenizer.encode(prompt))",
        "stream = tokenizer.create_stream()",
        "while not generator.is_done():",
        "    generator.generate_next_token()",
        "    print(stream.decode(generator.get_next_tokens()[0]), end='', flush=True)",
    )


def _code(*lines: str, language: str = "sh") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _trained(training: Training) -> Iterator[str]:
    yield "## Training"
    rows = [f"| {escaped(name)} | {escaped(value)} |" for name, value in training.rows]
    yield "\n".join(["| | |", "|---|---|", *rows])


def _licence(base: Base) -> str:
    if base.licence is None:
        said = "The base model's files don't name its licence: look at where it came from."
    else:
        licence = base.licence
        name = escaped(licence.name or licence.id)
        said = f"The base model's: {name}."
        if _is_plain(licence.link):
            said = f"The base model's: {name}, <{licence.link}>."
    return f"## Licence\n\n{said} It holds for the tuned model too."


def _is_plain(link: str) -> bool:
    return re.fullmatch(r"https://[\w./~%#?=&+-]+", link) is not None
