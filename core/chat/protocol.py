"""What the app and a model worker say to each other: requests one way, messages the other.

Each travels as one JSON object over core/pipe.py; a message's `kind` names its struct. Readers
ignore fields that they don't know.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from core.runs.target import Target


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is chosen. The same seed and numbers give the same answer."""

    temperature: Annotated[float, Meta(ge=0.0)] = 0.7  # 0: always the likeliest token
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.95  # share of the probability kept; 1: all
    top_k: Annotated[int, Meta(ge=0)] = 0  # how many tokens are kept; 0: all
    seed: Annotated[int, Meta(ge=0)] = 0
    max_tokens: Annotated[int, Meta(ge=1)] = 512


GREEDY = Sampling(temperature=0.0)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Loads a target; one worker holds one model."""

    target: Target
    device: str = "auto"  # "auto", "cpu" or "cuda"; GGUF and ONNX stay on the CPU
    threads: int | None = None  # None: all cores but one
    dtype: str | None = None  # of a model folder: "bfloat16", ...; None: what suits the device


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """Answers a conversation, or goes on after given token ids."""

    messages: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] | None = None
    ids: list[int] | None = None  # instead of messages; nothing cached is used then
    sampling: Sampling = Sampling()
    adapter: bool | str = True  # False: the base model alone; a path: that one of the target's
    threads: int | None = None  # None: as loaded


class LogProbs(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for log p(ids[i] | ids[:i]) of each i from `start` on."""

    ids: list[int]
    start: Annotated[int, Meta(ge=1)] = 1
    adapter: bool | str = True
    path: str | None = None  # a .npy for all of log p, f32 (len(ids) - start + 1, vocabulary);
    # its row k is over the token at start + k, the last row over the one after the end


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="loaded"):
    """The model is ready."""

    label: str
    backend: str  # "transformers", "llama.cpp" or "onnxruntime"
    parameters: int | None
    context_length: int  # tokens, prompt and answer together
    load_s: float
    stop_ids: list[int]
    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "bfloat16", or the type of an export: "q4_k_m", "int4"
    adapter: bool  # whether an adapter lies over the model and can be switched
    adapters: list[str] = []  # paths of all that can be switched to, the target's own first


class Token(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="token"):
    """A piece of the answer: what was generated since the last piece; whole characters only."""

    text: str
    ids: list[int]


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="done"):
    """A whole answer."""

    text: str  # without the stop token
    prompt_ids: list[int]
    ids: list[int]  # the generated ones; a stop token is the last
    finish_reason: str  # "stop", "length" or "cancelled"
    prompt_tokens: int
    first_token_s: float | None  # from the request to the first token; None: there was none
    tokens_per_s: float | None  # of the tokens after the first; None: there were none


class Scores(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="scores"):
    """The answer to LogProbs: one number and one likeliest id per asked position."""

    values: list[float]
    likeliest: list[int]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="error"):
    """A request came to nothing; the worker lives on."""

    message: str
    hint: str = ""


class Died(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="died"):
    """The worker is gone, and with it every request; made by the client, not sent."""

    message: str
    hint: str = ""


Message = Loaded | Token | Answer | Scores | Failed | Died
