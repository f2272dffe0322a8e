"""Chat through onnxruntime-genai: an ONNX folder on the CPU, with adapters laid over it.

Ids are ours: prompts are rendered by our templates and encoded from the folder's tokenizer.json;
the library gets ids and gives logits. What it would stop at is in genai_config.json.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.chat.backend import (
    Cancelled,
    Interrupted,
    adapters_of,
    chosen_adapter,
    default_threads,
    shared_start,
)
from core.chat.oga import Generator, Model, OgaError
from core.chat.protocol import Load, Loaded
from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.model_files import onnx
from core.runs.target import Target

if TYPE_CHECKING:
    import numpy as np

LONGEST_CONTEXT = 8192  # tokens; the cache is reserved for all of them
BATCH = 256  # tokens of a prompt read at once
ROWS = 64  # tokens whose logits are asked for at once
CANCEL_POLL_S = 0.1
NO_PADDING = -1  # the library skips padding at the end of a prompt, and a text may hold that token


class OnnxGenai:
    """A loaded ONNX folder with the key-value cache of what it has read."""

    def __init__(self, request: Load) -> None:
        start = time.perf_counter()
        self._target = target = request.target
        self._folder = Path(target.model)
        self._settings = onnx.model_settings(self._folder)
        self._about = onnx.about(self._folder)  # None: of another program
        self._tokenizer = Tokenizer.load(self._folder)
        self._templates = {path: _template(target, path) for path in adapters_of(target)}
        self._template = _template(target, target.adapter)  # of the base too: like with like
        self._adapter = target.adapter
        self._context_length = _context_length(self._settings)
        self._threads = request.threads or default_threads()
        self._model: Model | None = None
        self._generator: Generator | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self.loaded = Loaded(
            label=target.label or target.word,
            backend="onnxruntime",
            parameters=None,
            context_length=self._context_length,
            load_s=round(time.perf_counter() - start, 3),
            stop_ids=onnx.stop_ids(self._settings),
            device="cpu",
            dtype=self._about.type if self._about else "unknown",
            adapter=target.adapter is not None,
            adapters=adapters_of(target),
        )

    def _open(self) -> None:
        """Loads the model and its adapters, with as many threads as are wanted now."""
        self.close()
        session = {"intra_op_num_threads": self._threads}
        overlay = {"decoder": {"session_options": session}, "pad_token_id": NO_PADDING}
        with self._as_sentences("can't be loaded"):
            self._model = Model(self._folder, {"model": overlay})
        for path in adapters_of(self._target):
            self._add(self._model, path)

    def _add(self, model: Model, path: str) -> None:
        """Loads an adapter beside the model. Raises AfinaError where it isn't its own."""
        about = self._about
        if about is not None and not about.sites:
            raise AfinaError(
                f'The model in "{self._folder}" takes no adapters.',
                "Export it with its adapters apart: afina export RUN --to onnx:multi-int4.",
            )
        try:
            if about is not None and _base_number(path) != about.base_number:
                raise AfinaError(
                    f'The adapter "{path}" goes with another base model than the one in '
                    f'"{self._folder}".',
                    "Export it for this one.",
                )
            model.add_adapter(path)
        except (OgaError, RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            raise AfinaError(
                f'The adapter "{path}" can\'t be loaded: {reason}.',
                "Export it again, or check that the whole file was copied.",
            ) from error

    def prompt(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> list[int]:
        template = self._templates.get(self._adapter or "", self._template)
        rendered = template.render(messages, tools, add_generation_prompt=True)
        return self._tokenizer.encode(rendered.text).ids

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids)

    def read(self, ids: list[int], cancelled: Cancelled) -> np.ndarray:
        kept = self._keep(ids)
        for begin in range(kept, len(ids), BATCH):
            self._append(ids[begin : begin + BATCH], cancelled)
        return self._filled().last_logits()

    def step(self, token: int) -> np.ndarray:
        self._append([token])
        return self._filled().last_logits()

    def logits(self, ids: list[int], start: int, cancelled: Cancelled) -> np.ndarray:
        import numpy as np

        self.forget()
        rows = []
        for begin in range(0, len(ids), ROWS):
            self._append(ids[begin : begin + ROWS], cancelled)
            rows.append(self._filled().all_logits()[max(start - 1 - begin, 0) :])
        self.forget()
        return np.concatenate(rows)

    def forget(self) -> None:
        self._rewind(0)

    def use_adapter(self, which: bool | str) -> None:
        wanted = chosen_adapter(self._target, which)
        if wanted != self._adapter:
            self._adapter = wanted
            self._drop()  # a generator keeps its adapter

    def use_threads(self, count: int) -> None:
        """Loads the model again where the number changes: onnxruntime fixes it for a session."""
        if count != self._threads:
            self._threads = count
            self._open()

    def close(self) -> None:
        self._drop()
        if self._model is not None:
            self._model.close()
        self._model = None

    def _keep(self, ids: list[int]) -> int:
        """Shortens the cache to what it shares with a new prompt; returns how many ids that is."""
        self._rewind(shared_start(self._read, ids))
        return len(self._read)

    def _rewind(self, length: int) -> None:
        if self._generator is None or length == len(self._read):
            return
        try:
            self._generator.rewind(length)  # some 15 ms faster than a new one
            del self._read[length:]
        except OgaError:  # some families can't go back
            self._drop()

    def _drop(self) -> None:
        """Lets go of what was read; the next generator begins with nothing."""
        self._read: list[int] = []
        if self._generator is not None:
            self._generator.close()
        self._generator = None

    def _append(self, ids: list[int], cancelled: Cancelled | None = None) -> None:
        """Reads on. Raises Interrupted once `cancelled` says so, also amidst of it."""
        if self._generator is None:
            with self._as_sentences("can't answer"):
                assert self._model is not None, "it is closed"
                self._generator = self._model.generator(self._context_length, self._adapter)
        try:
            if cancelled is None:
                self._generator.append(ids)
            else:
                _append_unless(cancelled, self._generator, ids)
        except BaseException as error:
            self._drop()  # a part of them may have been read, and a stopped one answers no more
            if isinstance(error, OgaError):
                raise AfinaError(
                    f"onnxruntime can't go on: {error}.", "Start a new conversation."
                ) from error
            raise
        self._read.extend(ids)

    def _filled(self) -> Generator:
        assert self._generator is not None, "nothing has been read"
        return self._generator

    @contextmanager
    def _as_sentences(self, what: str) -> Iterator[None]:
        """Makes one error of what the library raises."""
        try:
            yield
        except OgaError as error:
            raise AfinaError(
                f'The ONNX model in "{self._folder}" {what}: {error}.',
                "Export it again, or check that the whole folder was copied.",
            ) from error


def _append_unless(cancelled: Cancelled, generator: Generator, ids: list[int]) -> None:
    """Reads on in a thread of its own. Raises Interrupted soon after `cancelled` says so."""
    if cancelled():
        raise Interrupted
    failures: list[OgaError] = []

    def append() -> None:
        try:
            generator.append(ids)
        except OgaError as error:
            failures.append(error)

    reader = threading.Thread(target=append)
    reader.start()
    stopped = False
    while reader.is_alive():
        reader.join(CANCEL_POLL_S)
        if not stopped and reader.is_alive() and cancelled():
            generator.stop()
            stopped = True
    if stopped:
        raise Interrupted
    if failures:
        raise failures[0]


def _base_number(path: str) -> int:
    """What an adapter file of ours goes with. Raises RuntimeError for a file that is none."""
    from onnxruntime import AdapterFormat

    reader: Any = AdapterFormat  # it asks for a PathLike and takes a str
    return reader.read_adapter(path).get_model_version()


def _template(target: Target, adapter: str | None) -> ChatTemplate:
    """The template that an adapter was trained with: a person's, one beside it, the model's"""
    beside = Path(adapter).with_suffix(".jinja") if adapter else None
    own = str(beside) if beside and beside.is_file() else None
    return ChatTemplate.load(target.model, target.chat_template or own)


def _context_length(settings: dict[str, Any]) -> int:
    """Tokens that are reserved: a model with a sliding window needs at least those of the window"""
    longest = int(settings.get("context_length") or LONGEST_CONTEXT)
    window = (settings["decoder"].get("sliding_window") or {}).get("window_size") or 0
    return min(longest, max(LONGEST_CONTEXT, int(window)))
