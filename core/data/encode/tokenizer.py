"""A model's tokenizer, read from its own tokenizer.json: ids and character offsets, nothing added.

Also its special and stop tokens. Asks no network: core/hub.py says what a model's name stands for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AfinaError
from core.hub import model_folder

if TYPE_CHECKING:
    from tokenizers import Encoding as RawEncoding
    from tokenizers import Tokenizer as RawTokenizer

# The names that chat templates know, as in transformers' SPECIAL_TOKENS_ATTRIBUTES.
SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


class TokenSpans(msgspec.Struct):
    """Token ids with the characters each stands for: text[start:end]."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Tokenizer:
    """Encodes text as it stands: special tokens are those written in it."""

    def __init__(
        self, raw: RawTokenizer, special: dict[str, str], stop_ids: frozenset[int]
    ) -> None:
        self._raw = raw
        self.special = special  # "bos_token" -> "<s>"; only those that the model has
        self.leading_ids = _leading_ids(raw)  # what the tokenizer puts before plain text by itself
        raw.no_truncation()  # many files on the hub cut at 512 or pad unasked
        raw.no_padding()
        raw.post_processor = None  # type: ignore[assignment]  # it trims offsets
        self.bos, self.eos, self.pad = (
            special.get(f"{name}_token") for name in ("bos", "eos", "pad")
        )
        self.bos_id, self.eos_id, self.pad_id = map(self._id, (self.bos, self.eos, self.pad))
        self.stop_ids = stop_ids | ({self.eos_id} if self.eos_id is not None else frozenset())

    @classmethod
    def load(cls, model: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer of a model folder, or of a hub id that lies in the local cache."""
        from tokenizers import Tokenizer as RawTokenizer

        folder = model_folder(model)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise AfinaError(
                f'There is no tokenizer.json in "{folder}".',
                "Save the tokenizer in its fast form: AutoTokenizer.from_pretrained(...)"
                ".save_pretrained(DIR).",
            )
        try:
            raw = RawTokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
            raise AfinaError(f'Can\'t read the tokenizer "{path}": {error}.') from error
        special = special_tokens(folder)
        generation, config = (
            read_json(folder, "generation_config.json"),
            read_json(folder, "config.json"),
        )
        stops = _ids(generation.get("eos_token_id")) | _ids(config.get("eos_token_id"))
        return cls(raw, special, frozenset(stops))

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary, added tokens included."""
        return self._raw.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> TokenSpans:
        """The tokens of a text; no special tokens are added."""
        return _spans(self._raw.encode(text, add_special_tokens=False))

    def encode_many(self, texts: list[str]) -> list[TokenSpans]:
        """The tokens of several texts, on all cores."""
        return [_spans(item) for item in self._raw.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: list[int], skip_special: bool = False) -> str:
        return self._raw.decode(ids, skip_special_tokens=skip_special)

    def token_text(self, token_id: int) -> str:
        """What one token stands for; the replacement character where it is part of a character."""
        if text := self._raw.decode([token_id], skip_special_tokens=False):
            return text
        return self._raw.id_to_token(token_id) or ""

    def token_id(self, token: str) -> int | None:
        return self._raw.token_to_id(token)

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self._raw.token_to_id(token)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a model folder; empty where there is none."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise AfinaError(f'Can\'t read "{path}": {error}.') from error
    return value if isinstance(value, dict) else {}


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens a model names: "bos_token" -> "<s>"."""
    config = {
        **read_json(folder, "special_tokens_map.json"),
        **read_json(folder, "tokenizer_config.json"),
    }
    found = {}
    for name in SPECIAL_NAMES:
        token = config.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[name] = token
    return found


def _ids(value: Any) -> set[int]:
    """eos_token_id as configurations write it: absent, a number, or a list of numbers."""
    values = value if isinstance(value, list) else [value]
    return {item for item in values if isinstance(item, int) and not isinstance(item, bool)}


def _leading_ids(raw: RawTokenizer) -> list[int]:
    """What the tokenizer's own post-processor puts before a text, such as <s>."""
    marked, plain = (
        raw.encode("a", add_special_tokens=True),
        raw.encode("a", add_special_tokens=False),
    )
    for start in range(len(marked.ids) - len(plain.ids) + 1):
        if marked.ids[start : start + len(plain.ids)] == plain.ids:
            return marked.ids[:start]
    return []


def _spans(encoding: RawEncoding) -> TokenSpans:
    return TokenSpans(encoding.ids, encoding.offsets)
