"""A SentencePiece tokenizer.model as the tokenizer.json it amounts to, for folders without one.

BPE with byte fallback, as Llama 2 and Mistral have it. The file is a protobuf message; only the
few fields that matter are read (sentencepiece, src/sentencepiece_model.proto, 0.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.errors import AfinaError

FILE = "tokenizer.model"
SPACE = "▁"
BPE = 2  # TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type
WAY_OUT = (
    "Save the tokenizer in its fast form: AutoTokenizer.from_pretrained(...).save_pretrained(DIR)."
)
_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5  # wire types


class Piece(msgspec.Struct, frozen=True):
    """One entry of the vocabulary; its id is its place."""

    text: str
    score: float
    kind: int


class Model(msgspec.Struct, frozen=True):
    """What a tokenizer.model says."""

    pieces: list[Piece]
    algorithm: int
    byte_fallback: bool
    prefix: bool  # whether a space is put in front of a text
    squeezes: bool  # whether runs of spaces become one
    rewrites: bool  # whether letters are replaced by others first
    suffix: bool  # whether the space of a word stands behind it


def tokenizer_json(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json of a folder that has a tokenizer.model only; `settings` are those of its
    tokenizer_config.json. Raises AfinaError for a model of another kind.
    """
    path = folder / FILE
    model = read_model(path)
    _refuse(path, model)
    vocabulary = {piece.text: place for place, piece in enumerate(model.pieces)}
    unknown = next((piece.text for piece in model.pieces if piece.kind == UNKNOWN), None)
    prefix = settings.get("add_prefix_space")
    prefix = model.prefix if prefix is None else bool(prefix)
    return {
        "version": "1.0",
        "added_tokens": _added(model, settings),
        **_spaces(prefix, bool(settings.get("legacy", True))),
        "post_processor": _post_processor(vocabulary, settings),
        "model": {
            "type": "BPE",
            "unk_token": unknown,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": _merges(model.pieces),
        },
    }


def read_model(path: Path) -> Model:
    """The fields of a tokenizer.model. Raises AfinaError when it isn't one."""
    try:
        message = _fields(path.read_bytes())
        pieces = [_piece(value) for number, value in message if number == 1]
        parts = {number: dict(_fields(value)) for number, value in message if number in (2, 3)}
        trainer, normalizer = parts.get(2, {}), parts.get(3, {})
    except (ValueError, IndexError, TypeError, struct.error) as error:
        raise AfinaError(f'"{path}" is not a SentencePiece model: {error}.', WAY_OUT) from error
    if not pieces:
        raise AfinaError(f'"{path}" holds no pieces of a vocabulary.', WAY_OUT)
    return Model(  # a field that is missing has the default of its declaration
        pieces,
        trainer.get(3, 1),
        bool(trainer.get(35, 0)),
        bool(normalizer.get(3, 1)),
        bool(normalizer.get(4, 1)),
        bool(normalizer.get(2, b"")),
        bool(trainer.get(24, 0)),
    )


def _fields(data: bytes) -> list[tuple[int, Any]]:
    """(number, value) of each field of a message; nested messages stay bytes."""
    return list(_walk(data))


def _walk(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in (_WIDE, _NARROW):
            size = 8 if wire == _WIDE else 4
            value, at = data[at : at + size], at + size
        elif wire == _BYTES:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"a field of the wire type {wire}")
        if at > len(data):
            raise ValueError("it is cut short")
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _piece(data: bytes) -> Piece:
    values = dict(_fields(data))
    score = struct.unpack("<f", values[2])[0] if 2 in values else 0.0
    return Piece(values.get(1, b"").decode(), score, values.get(3, NORMAL))


def _refuse(path: Path, model: Model) -> None:
    """What tokenizers' BPE would read in another way than SentencePiece."""
    reasons = {
        "it is not a BPE with byte fallback": model.algorithm != BPE or not model.byte_fallback,
        "it rewrites letters first": model.rewrites,
        "it makes one space of several": model.squeezes,
        "it puts the space of a word behind it": model.suffix,
        "it has pieces of its own that hold spaces": any(
            piece.kind == USER_DEFINED and SPACE in piece.text for piece in model.pieces
        ),
    }
    for reason, found in reasons.items():
        if found:
            raise AfinaError(f'There is no tokenizer.json beside "{path}", and {reason}.', WAY_OUT)


def _merges(pieces: list[Piece]) -> list[list[str]]:
    """Every way to make a piece of two others, the piece with the highest score first."""
    known = {piece.text for piece in pieces if piece.kind == NORMAL}
    ranked = sorted((p for p in pieces if p.text in known), key=lambda piece: -piece.score)
    return [
        [piece.text[:at], piece.text[at:]]
        for piece in ranked
        for at in range(1, len(piece.text))
        if piece.text[:at] in known and piece.text[at:] in known
    ]


def _spaces(prefix: bool, legacy: bool) -> dict[str, Any]:
    """How spaces become "▁".

    With `legacy`, which transformers 4 takes where nothing is said, a space is put in front of each
    part of a text between special tokens; without it, in front of the text alone.
    """
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    scheme = "never" if not prefix else "always" if legacy else "first"
    before: list[dict[str, Any]] = [{"type": "Prepend", "prepend": SPACE}] * (scheme == "always")
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": scheme,
        "split": False,
    }
    first = scheme == "first"
    return {
        "normalizer": None if first else {"type": "Sequence", "normalizers": [*before, replace]},
        "pre_tokenizer": metaspace if first else None,
        "decoder": {"type": "Sequence", "decoders": decoders},
    }


def _added(model: Model, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Tokens that are read as one wherever they stand, by id: the model's, then the settings'."""
    tokens = {
        place: _token(place, piece.text, special=piece.kind != USER_DEFINED)
        for place, piece in enumerate(model.pieces)
        if piece.kind in (UNKNOWN, CONTROL, USER_DEFINED)
    }
    for place, token in (settings.get("added_tokens_decoder") or {}).items():
        flags = {key: token[key] for key in ("lstrip", "rstrip", "single_word") if key in token}
        tokens[int(place)] = (
            _token(int(place), token["content"], bool(token.get("special"))) | flags
        )
    return [tokens[place] for place in sorted(tokens)]


def _token(place: int, text: str, special: bool) -> dict[str, Any]:
    return {
        "id": place,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _post_processor(vocabulary: dict[str, int], settings: dict[str, Any]) -> dict[str, Any] | None:
    """BOS in front of a text, unless the settings say otherwise."""
    bos = settings.get("bos_token")
    bos = bos.get("content") if isinstance(bos, dict) else bos
    if bos not in vocabulary or settings.get("add_bos_token") is False:
        return None
    token = {"SpecialToken": {"id": bos, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    other = {"Sequence": {"id": "B", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [token, text],
        "pair": [token, text, {"SpecialToken": {"id": bos, "type_id": 1}}, other],
        "special_tokens": {bos: {"id": bos, "ids": [vocabulary[bos]], "tokens": [bos]}},
    }
