"""Everything that is known about an export before a weight is read, and every reason to refuse it.

Light: headers and tokenizer files only. The plan is drawn from it, and the writer works by it.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec.structs import replace

from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.hub import model_folder
from core.runs.target import Target
from exporters.chat_template import portable, sample_prompt, writes_bos
from exporters.eos import stop_ids
from exporters.gguf.converter import Refused
from exporters.gguf.families import Family, family_of
from exporters.gguf.families.family import option_of
from exporters.gguf.mixes import Traits
from exporters.gguf.sentencepiece import ALWAYS, FIRST, NEVER
from exporters.gguf.types import Type, tensor_types
from exporters.gguf.vocabulary import Vocabulary, read_vocabulary
from exporters.weights.merge import INPUT, Merged


class Tensor(msgspec.Struct, frozen=True):
    """One tensor of the file and where it comes from."""

    name: str  # GGUF's
    sources: tuple[str, ...]  # transformers'; several are stacked, as those of experts are
    shape: tuple[int, ...]

    @property
    def source(self) -> str:
        return self.sources[0]

    @property
    def rows(self) -> int:
        """Of each source."""
        return self.shape[-2:][0]

    @property
    def columns(self) -> int:
        return self.shape[-1] if len(self.shape) > 1 else 1


class Prepared(msgspec.Struct, frozen=True):
    """A target that can become GGUF."""

    target: Target
    name: str
    merged: Merged
    family: Family
    vocabulary: Vocabulary
    stops: tuple[int, ...]  # the token that ends a turn first
    templates: dict[str, str]  # for other programs, by name
    add_bos: bool
    tensors: list[Tensor]
    notes: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By GGUF name, with those that are computed while writing."""
        extra = self.family.extra_tensors(self.merged.config)
        return {t.name: t.shape for t in self.tensors} | {n: a.shape for n, a in extra.items()}

    @property
    def traits(self) -> Traits:
        config = self.merged.config
        heads = config["num_attention_heads"]
        key_heads = config.get("num_key_value_heads") or heads
        # what llama.cpp calls "70B" (src/models/llama.cpp, qwen2.cpp)
        named = {"llama": heads != key_heads, "qwen2": True}.get(self.family.architecture, False)
        eighty = named and config["num_hidden_layers"] == 80
        experts = config.get("num_local_experts") or config.get("num_experts") or 0
        return Traits(heads // key_heads, eighty, experts)

    def kinds(self, wanted: Type, importance: bool = False) -> dict[str, str]:
        """The ggml type of each tensor in a file of a type, by GGUF name.

        importance: whether that of the columns is used where the type doesn't need it.
        """
        return tensor_types(self.shapes, wanted, self.traits, importance)


def prepare(target: Target) -> Prepared:
    """Reads what can be read cheaply. Raises AfinaError with the reason when GGUF is impossible."""
    if target.kind != "hf":
        raise AfinaError(
            f'"{target.word}" is a GGUF file already.', "Name the run or the model it came from."
        )
    folder = model_folder(target.model, target.revision)
    merged = Merged(folder, Path(target.adapter) if target.adapter else None)
    family = family_of(merged.config)
    family.hyperparameters(merged.config)  # refuses a config.json that lacks one
    vocabulary = read_vocabulary(folder, _rows(merged))
    template = ChatTemplate.load(folder, target.chat_template)
    vocabulary = _spaced(vocabulary, sample_prompt(template))
    bos = vocabulary.tokens[vocabulary.bos] if vocabulary.bos is not None else None
    return Prepared(
        target=target,
        name=_name(target, vocabulary.strips),
        merged=merged,
        family=family,
        vocabulary=vocabulary,
        stops=stop_ids(Tokenizer.load(folder), template, str(folder)),
        templates={
            name: portable(source, bos is not None) for name, source in template.sources.items()
        },
        # what was trained has BOS where the template writes it, and nowhere else
        add_bos=vocabulary.adds_bos and bos is not None and writes_bos(template, bos),
        tensors=_tensors(merged, family),
        notes=vocabulary.notes + _notes(merged, family),
    )


def _rows(merged: Merged) -> int:
    """How many tokens the model has rows for."""
    if INPUT not in merged.shapes:
        raise AfinaError(
            f'The weights in "{merged.folder}" lack "{INPUT}".',
            "Name a whole model, not a part of one.",
        )
    return merged.shapes[INPUT][0]


def _tensors(merged: Merged, family: Family) -> list[Tensor]:
    tensors: dict[str, Tensor] = {}
    stacks: dict[str, dict[int, str]] = {}
    for source, shape in merged.shapes.items():
        if source.endswith(family.ignored):
            continue
        expert = family.experts.find(source) if family.experts else None
        if expert is not None:
            name, place = expert
            stacks.setdefault(name, {})[place] = source
            tensors.setdefault(name, Tensor(name, (source,), shape))  # its place in the file
            continue
        name = family.tensor_name(source)
        if name is None:
            raise AfinaError(
                f'"{merged.folder}" has a tensor "{source}", which {family.architecture} models '
                "don't have.",
                "Its architecture is another than its config.json says.",
            )
        tensors[name] = Tensor(name, (source,), shape)
    tensors |= {name: _stack(merged, family, name, stacks[name]) for name in stacks}
    _refuse_missing(merged, family, set(tensors))
    return list(tensors.values())


def _stack(merged: Merged, family: Family, name: str, sources: dict[int, str]) -> Tensor:
    """All experts of a layer, (experts, out, in)."""
    assert family.experts is not None
    count = option_of(merged.config, family.experts.count)
    shapes = {merged.shapes[source] for source in sources.values()}
    if sorted(sources) != list(range(count)) or len(shapes) != 1:
        raise AfinaError(
            f'"{merged.folder}" has {len(sources)} experts of {len(shapes)} shapes for "{name}", '
            f"and its config.json says {count}.",
            "The model is incomplete: copy or save it again.",
        )
    return Tensor(name, tuple(sources[expert] for expert in range(count)), (count, *shapes.pop()))


def _refuse_missing(merged: Merged, family: Family, found: set[str]) -> None:
    layers = merged.config["num_hidden_layers"]
    stacks = family.experts.names if family.experts else {}
    for pattern in {**family.names, **stacks}.values():
        if pattern == "output" and merged.tied:
            continue
        for layer in range(layers if "#" in pattern else 1):
            name = f"{pattern.replace('#', str(layer))}.weight"
            if name not in found:
                raise AfinaError(
                    f'The weights in "{merged.folder}" lack the tensor for "{name}".',
                    "The model is incomplete: copy or save it again.",
                )


def _spaced(vocabulary: Vocabulary, prompt: str) -> Vocabulary:
    """The vocabulary with one of llama.cpp's ways to put spaces in front.

    It puts one in front of a text and behind every special token, or nowhere. Raises Refused
    where neither gives the tokens of the prompts.
    """
    if vocabulary.spaces != FIRST:
        return vocabulary
    special = tuple(vocabulary.special)
    if prompt.startswith(special):
        note = (
            "The tokenizer puts a space in front of a text that doesn't begin with a special "
            "token, and this file doesn't: prompts have equal tokens, text without a chat template "
            "may have others."
        )
        return replace(vocabulary, spaces=NEVER, notes=(*vocabulary.notes, note))
    if not any(token in prompt for token in special):
        return replace(vocabulary, spaces=ALWAYS)
    raise Refused(
        "Its tokenizer puts a space in front of a text only, llama.cpp behind every special token "
        "too or nowhere; the prompts begin without a special token and hold some further on.",
        "Let the chat template begin with the BOS token.",
    )


def _name(target: Target, strips: bool) -> str:
    """The file's general.name.

    "phi-3" in it lets llama.cpp's special tokens swallow the space behind them, or makes loading
    fail where the tokens that Phi 3 has are missing.
    """
    plain = re.sub(r"(?i)(phi)-?(?=3)", r"\1 ", target.label or target.word)
    return f"{plain} (phi-3)" if strips else plain


def _notes(merged: Merged, family: Family) -> tuple[str, ...]:
    notes = []
    cut = family.context_length(merged.config)
    if cut < merged.config["max_position_embeddings"]:
        notes.append(
            f"The context is cut to the sliding window of {cut:,} tokens, which llama.cpp "
            "doesn't slide for this family."
        )
    rope = family.rope(merged.config)
    if rope.kind == "longrope" and rope.original < rope.context:
        notes.append(
            f"llama.cpp rotates by the long factors as soon as its context is longer than "
            f"{rope.original:,} tokens, transformers when the text is."
        )
    return tuple(notes)
