"""Chat through llama.cpp: a GGUF file on the CPU, by the C functions that llama-cpp-python carries.

The file stands for itself: vocabulary, template and stop tokens are its own, also under adapters.
The package's `Llama` class is not used: it prints, redirects stdout while it loads, and can't be
cancelled in a prompt.
"""

from __future__ import annotations

import ctypes
import time
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
from core.chat.llamacpp_log import log
from core.chat.protocol import Load, Loaded
from core.data.encode.template import ChatTemplate
from core.errors import AfinaError
from core.hardware import processor_flags

if TYPE_CHECKING:
    import numpy as np

LONGEST_CONTEXT = 8192  # tokens; the cache of a whole 128k context takes more memory than the model
BATCH = 512  # tokens of a prompt read at once
ABORTED = 2  # llama_decode, include/llama.h


class LlamaCpp:
    """An open GGUF file with the key-value cache of what it has read."""

    def __init__(self, request: Load) -> None:
        start = time.perf_counter()
        import llama_cpp

        self._c: Any = llama_cpp
        self._log = log()
        self._model: Any = None
        self._context: Any = None
        self._read: list[int] = []
        self._target = request.target
        self._path = Path(request.target.model)
        self._adapters: dict[str, Any] = {}  # by path
        self._adapter: str | None = None  # the one that answers now
        try:
            self._open(request.threads or default_threads())
            self.use_adapter(True)
            self._template = self._own_template()
        except BaseException:
            self.close()
            raise
        self.loaded = Loaded(
            label=request.target.label or request.target.word,
            backend="llama.cpp",
            parameters=llama_cpp.llama_model_n_params(self._model),
            context_length=self._context_length,
            load_s=round(time.perf_counter() - start, 3),
            stop_ids=self._stop_ids(),
            device="cpu",
            dtype=self._file_type(),
            adapter=bool(self._adapters),
            adapters=list(self._adapters),
        )

    def _open(self, threads: int) -> None:
        c = self._c
        c.llama_backend_init()
        self._log.clear()
        settings = c.llama_model_default_params()
        settings.n_gpu_layers = 0  # people look here for what the file does without a GPU
        # llama.cpp's products on AMX tiles end the process where the compiler has left out their
        # configuration (ggml-org/llama.cpp#26954): weights stay in plain buffers there
        settings.use_extra_bufts = "amx_tile" not in processor_flags()
        self._model = c.llama_model_load_from_file(str(self._path).encode(), settings)
        if not self._model:
            raise self._refusal()
        for adapter in adapters_of(self._target):  # the context makes room for all of them
            self._adapters[adapter] = self._open_adapter(adapter)
        self._vocab = c.llama_model_get_vocab(self._model)
        self._size = c.llama_vocab_n_tokens(self._vocab)
        self._context_length = min(c.llama_model_n_ctx_train(self._model), LONGEST_CONTEXT)
        settings = c.llama_context_default_params()
        settings.n_ctx = self._context_length
        settings.n_batch = settings.n_ubatch = min(BATCH, self._context_length)
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_DISABLED  # nearer to the f32 model
        self._context = c.llama_init_from_model(self._model, settings)
        if not self._context:
            raise self._refusal()
        self._memory = c.llama_get_memory(self._context)

    def _open_adapter(self, path: str) -> Any:
        self._log.clear()
        adapter = self._c.llama_adapter_lora_init(self._model, path.encode())
        if not adapter:
            raise AfinaError(
                f'llama.cpp can\'t lay the adapter "{path}" over "{self._path}": '
                f"{self._log.reason()}.",
                "Name the GGUF file of the model that the adapter was trained on.",
            )
        if self._c.llama_adapter_get_alora_n_invocation_tokens(adapter):
            raise AfinaError(
                f'The adapter "{path}" is an activated LoRA, which begins inside of a text.',
                "Use a program that knows them, or a plain LoRA.",
            )
        return adapter

    def _refusal(self) -> AfinaError:
        return AfinaError(
            f'llama.cpp can\'t open "{self._path}": {self._log.reason()}.',
            "Export it again, or check that the whole file was copied.",
        )

    def prompt(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> list[int]:
        text = self._template.render(messages, tools, add_generation_prompt=True).text.encode()
        room = len(text) + 8  # a token has a byte at least; some vocabularies put a space before
        ids = (self._c.llama_token * room)()
        count = self._c.llama_tokenize(
            self._vocab,
            text,
            len(text),
            ids,
            room,
            False,  # no BOS of its own: the template writes it
            True,  # "<|im_start|>" is one token
        )
        assert count >= 0, f"{room} tokens are too few for {len(text)} bytes"
        return ids[:count]

    def decode(self, ids: list[int]) -> str:
        tokens = (self._c.llama_token * len(ids))(*ids)
        size = 16 * len(ids) + 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = self._c.llama_detokenize(
                self._vocab, tokens, len(ids), buffer, size, False, True
            )
            if count >= 0:
                return buffer.raw[:count].decode("utf-8", errors="replace")
            size = -count

    def read(self, ids: list[int], cancelled: Cancelled) -> np.ndarray:
        kept = shared_start(self._read, ids)
        if not self._c.llama_memory_seq_rm(self._memory, 0, kept, -1):
            kept = 0  # recurrent models can't go back
        if kept == 0:
            self.forget()
        del self._read[kept:]
        abort = self._c.ggml_abort_callback(lambda _: cancelled())
        self._c.llama_set_abort_callback(self._context, abort, None)
        try:
            for begin in range(kept, len(ids), BATCH):
                if cancelled():
                    raise Interrupted
                self._decode(ids[begin : begin + BATCH])
        finally:  # a call into Python for each operation would slow every token
            none = self._c.ggml_abort_callback()
            self._c.llama_set_abort_callback(self._context, none, None)
        return self._logits_at(-1)

    def step(self, token: int) -> np.ndarray:
        self._decode([token])
        return self._logits_at(-1)

    def logits(self, ids: list[int], start: int, cancelled: Cancelled) -> np.ndarray:
        import numpy as np

        self.forget()
        rows = []
        for begin in range(0, len(ids), BATCH):
            if cancelled():
                raise Interrupted
            chunk = ids[begin : begin + BATCH]
            self._decode(chunk, all_logits=True)
            first = max(start - 1 - begin, 0)
            rows += [self._logits_at(place) for place in range(first, len(chunk))]
        self.forget()
        return np.stack(rows)

    def forget(self) -> None:
        self._c.llama_memory_clear(self._memory, False)
        self._read = []

    def use_adapter(self, which: bool | str) -> None:
        chosen = chosen_adapter(self._target, which)
        if chosen == self._adapter:
            return
        c = self._c
        active = [self._adapters[chosen]] if chosen else []
        adapters = (c.llama_adapter_lora_p_ctypes * len(active))(*active)
        scales = (ctypes.c_float * len(active))(*[1.0] * len(active))
        code = c.llama_set_adapters_lora(self._context, adapters, len(active), scales)
        assert code == 0, f"llama_set_adapters_lora gave {code}"
        self._adapter = chosen
        self.forget()

    def use_threads(self, count: int) -> None:
        self._c.llama_set_n_threads(self._context, count, count)

    def close(self) -> None:
        if self._context:
            self._c.llama_free(self._context)
        for adapter in self._adapters.values():
            self._c.llama_adapter_lora_free(adapter)
        self._adapters = {}
        if self._model:
            self._c.llama_model_free(self._model)
        self._context = self._model = None

    def _decode(self, ids: list[int], all_logits: bool = False) -> None:
        """Reads on. Raises Interrupted when the abort callback said so."""
        c, count = self._c, len(ids)
        batch = c.llama_batch_init(count, 0, 1)
        batch.n_tokens = count
        for place, token in enumerate(ids):
            batch.token[place] = token
            batch.pos[place] = len(self._read) + place
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = 0
            batch.logits[place] = all_logits or place == count - 1
        self._log.clear()
        code = c.llama_decode(self._context, batch)
        c.llama_batch_free(batch)
        if code != 0:
            self.forget()  # a part of the batch may have been read
            if code == ABORTED:
                raise Interrupted
            raise AfinaError(
                f"llama.cpp can't go on: {self._log.reason()}.",
                "Start a new conversation.",
            )
        self._read.extend(ids)

    def _logits_at(self, place: int) -> np.ndarray:
        """A copy of the logits after one token of the last batch, f32 (vocabulary,)."""
        import numpy as np

        row = self._c.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(row, shape=(self._size,)).copy()

    def _stop_ids(self) -> list[int]:
        """The tokens that every program on llama.cpp stops at."""
        c = self._c
        return [token for token in range(self._size) if c.llama_vocab_is_eog(self._vocab, token)]

    def _own_template(self) -> ChatTemplate:
        c = self._c
        special = {}
        for name in ("bos", "eos"):
            token = getattr(c, f"llama_vocab_{name}")(self._vocab)
            if token >= 0:
                special[f"{name}_token"] = c.llama_vocab_get_text(self._vocab, token).decode()
        own = c.llama_model_chat_template(self._model, None)
        if own is None:
            raise AfinaError(
                f'"{self._path}" carries no chat template.',
                "Export it again from a model that has one.",
            )
        return ChatTemplate({"default": own.decode()}, special, str(self._path))

    def _file_type(self) -> str:
        """The type of most weights: "f16", "q4_k_m"."""
        from gguf.constants import LlamaFileType

        buffer = ctypes.create_string_buffer(16)
        key = b"general.file_type"
        if self._c.llama_model_meta_val_str(self._model, key, buffer, len(buffer)) < 0:
            return "unknown"
        try:
            name = LlamaFileType(int(buffer.value)).name
        except ValueError:  # a type that is newer than the gguf package
            return "unknown"
        return name.removeprefix("ALL_").removeprefix("MOSTLY_").lower()
