"""Chat through transformers: a base model, adapters laid over it unmerged, a merged model.

safetensors only, no code out of the model's folder, no network unless a hub id is named.
"""

from __future__ import annotations

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
from core.chat.protocol import Load, Loaded
from core.data.encode.template import ChatTemplate
from core.data.encode.tokenizer import Tokenizer
from core.errors import AfinaError
from core.hub import fetch
from core.model_files.json_file import read_json
from core.runs.continue_from import PLAIN_STARTS
from core.runs.target import adapter_name

if TYPE_CHECKING:
    import numpy as np

CHUNK = 512  # tokens of a prompt read at once; a cancel is seen between two chunks


class Transformers:
    """A model in a folder, with the key-value cache of what it has read."""

    def __init__(self, request: Load) -> None:
        start = time.perf_counter()
        self._target = target = request.target
        folder, adapters = fetch(target.model, target.revision), adapters_of(target)
        _check_weights(folder, adapters)
        self._tokenizer = Tokenizer.load(folder)
        self._template = ChatTemplate.load(folder, target.chat_template)
        self._torch, self._device, self._dtype = _device(request.device, request.dtype)
        self.use_threads(request.threads or default_threads())
        # PEFT's names for them, which become parts of the names of modules
        self._names = {path: f"adapter{place}" for place, path in enumerate(adapters)}
        with _as_sentences(target.model):
            model, parameters = self._open(folder, adapters)
        self._model: Any = model
        self._adapter = next(iter(adapters), None)  # the one that answers now
        self._prefix: Any = None  # embeddings of a learned prompt, (1, virtual tokens, hidden)
        if self._adapter and model.active_peft_config.is_prompt_learning:
            self._model, self._prefix = _without_prompt(model, self._adapter)
        self.forget()
        self.use_adapter(True)
        config = self._model.config
        self.loaded = Loaded(
            label=target.label or target.word,
            backend="transformers",
            parameters=parameters,
            context_length=self._room(config),
            load_s=round(time.perf_counter() - start, 3),
            stop_ids=sorted(self._tokenizer.stop_ids),
            device=self._device,
            dtype=str(self._dtype).removeprefix("torch."),
            adapter=bool(adapters),
            adapters=adapters,
        )

    def _open(self, folder: Path, adapters: list[str]) -> tuple[Any, int]:
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # stderr is what people read when the worker dies
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=self._dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        parameters = model.num_parameters()
        if adapters:
            from peft import PeftModel

            first, *others = adapters  # all to where the model is now; PEFT would take a GPU
            model = PeftModel.from_pretrained(model, first, self._names[first], torch_device="cpu")
            for other in others:
                model.load_adapter(other, self._names[other], torch_device="cpu")
        return model.to(self._device).eval(), parameters

    def _room(self, config: Any) -> int:
        """Tokens that fit beside a learned prompt."""
        positions = int(getattr(config, "max_position_embeddings", None) or 2**20)
        return positions - (0 if self._prefix is None else self._prefix.shape[1])

    def prompt(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
    ) -> list[int]:
        rendered = self._template.render(messages, tools, add_generation_prompt=True)
        return self._tokenizer.encode(rendered.text).ids

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids)

    def read(self, ids: list[int], cancelled: Cancelled) -> np.ndarray:
        read = None
        for begin in range(self._keep(ids), len(ids), CHUNK):
            if cancelled():
                raise Interrupted
            read = self._forward(ids[begin : begin + CHUNK], keep_logits=1)
        assert read is not None, "the last token of a prompt is always read"
        return read[-1]

    def step(self, token: int) -> np.ndarray:
        return self._forward([token], keep_logits=1)[-1]

    def logits(self, ids: list[int], start: int, cancelled: Cancelled) -> np.ndarray:
        import numpy as np

        self.forget()
        rows = []
        for begin in range(0, len(ids), CHUNK):
            if cancelled():
                raise Interrupted
            chunk = ids[begin : begin + CHUNK]
            wanted = min(len(chunk), begin + len(chunk) - (start - 1))
            read = self._forward(chunk, keep_logits=max(wanted, 1))
            if wanted > 0:
                rows.append(read[-wanted:])
        self.forget()
        return np.concatenate(rows)

    def forget(self) -> None:
        from transformers import DynamicCache

        self._read: list[int] = []
        self._cache: Any = DynamicCache(config=self._model.config)

    def use_adapter(self, which: bool | str) -> None:
        chosen = chosen_adapter(self._target, which)
        if chosen == self._adapter:
            return
        if self._prefix is None:
            layers = self._model.base_model
            if chosen is None:
                layers.disable_adapter_layers()
            else:
                layers.enable_adapter_layers()
                self._model.set_adapter(self._names[chosen], inference_mode=True)
        self._adapter = chosen
        self.forget()

    def use_threads(self, count: int) -> None:
        self._torch.set_num_threads(count)

    def close(self) -> None:
        self._model = self._cache = None

    def _keep(self, ids: list[int]) -> int:
        """Shortens the cache to what it shares with a new prompt; returns how many ids that is."""
        kept = shared_start(self._read, ids)
        if not self._cache.is_croppable or any(self._cache.is_sliding):
            kept = kept if kept == len(self._read) else 0
        if kept == 0:
            self.forget()
        elif kept < len(self._read):
            self._cache.crop(kept - len(self._read))
            del self._read[kept:]
        return kept

    def _forward(self, ids: list[int], keep_logits: int) -> np.ndarray:
        """Reads on; returns the logits of the last `keep_logits` positions, at least one."""
        torch = self._torch
        try:
            with torch.inference_mode():
                output = self._model(
                    **self._inputs(torch.tensor([ids], device=self._device)),  # (1, positions)
                    past_key_values=self._cache,
                    use_cache=True,
                    logits_to_keep=keep_logits,
                )
        except BaseException as error:
            self.forget()  # some layers may have read the tokens, others not
            if isinstance(error, torch.OutOfMemoryError):
                raise AfinaError(
                    "The GPU has no memory left for this conversation.",
                    "Start a new one, or choose the device cpu.",
                ) from error
            raise
        self._read.extend(ids)
        return output.logits[0, -len(ids) :].float().cpu().numpy()  # (positions, vocabulary)

    def _inputs(self, ids: Any) -> dict[str, Any]:
        """The tokens; the first ones with the learned prompt before them, once a conversation."""
        if self._prefix is None or self._adapter is None or self._read:
            return {"input_ids": ids}
        embedded = self._model.get_input_embeddings()(ids)
        prefix = self._prefix.to(embedded)
        return {"inputs_embeds": self._torch.cat([prefix, embedded], dim=1)}


def _without_prompt(model: Any, adapter: str) -> tuple[Any, Any]:
    """The model under a learned prompt, and the prompt's embeddings.

    PEFT would prepend them to every piece of a conversation that is read.
    """
    kind = model.active_peft_config.peft_type.value
    if kind not in ("PROMPT_TUNING", "P_TUNING"):
        raise AfinaError(
            f'The adapter "{adapter}" is of the kind {kind}, which Afina can\'t chat with.',
            "It knows learned prompts of the kinds PROMPT_TUNING and P_TUNING.",
        )
    return model.get_base_model(), model.get_prompt(batch_size=1).detach()


def _check_weights(folder: Path, adapters: list[str]) -> None:
    if not any(folder.glob("*.safetensors")):
        raise AfinaError(
            f'"{folder}" holds no .safetensors weights.',
            "Other formats can run code when they are loaded; convert them first.",
        )
    for adapter in adapters:
        if not (Path(adapter) / "adapter_model.safetensors").is_file():
            raise AfinaError(
                f'"{adapter}" holds no adapter_model.safetensors.',
                "Name the folder of a PEFT adapter.",
            )
    if len(adapters) > 1:
        _refuse_together(adapters)


def _refuse_together(adapters: list[str]) -> None:
    """Raises AfinaError for adapters that can't lie over one model in memory."""
    kinds = {path: read_json(Path(path), "adapter_config.json") for path in adapters}
    for path, config in kinds.items():
        kind = str(config.get("peft_type"))
        if kind not in ("LORA", "IA3") or kind != kinds[adapters[0]].get("peft_type"):
            raise AfinaError(
                f'The adapters "{adapter_name(adapters[0])}" and "{adapter_name(path)}" can\'t '
                f"share a model: {kinds[adapters[0]].get('peft_type')} and {kind}.",
                "Several adapters are all LORA or all IA3; open others in columns of their own.",
            )
        if config.get("init_lora_weights", True) not in PLAIN_STARTS:
            raise AfinaError(
                f'The adapter "{adapter_name(path)}" began as {config["init_lora_weights"]}, which '
                "changes the base model under all others too.",
                "Open it alone.",
            )


def _device(wanted: str, dtype: str | None) -> tuple[Any, str, Any]:
    """torch, the device's name and the number type: the one wanted, else what suits the device."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise AfinaError("torch sees no GPU here.", "Use the device cpu.")
    on_gpu = wanted != "cpu" and torch.cuda.is_available()
    suits = torch.bfloat16 if on_gpu else torch.float32
    return torch, "cuda" if on_gpu else "cpu", getattr(torch, dtype) if dtype else suits


@contextmanager
def _as_sentences(model: str) -> Iterator[None]:
    """Makes one error of what the libraries raise for files that they can't use."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AfinaError(
            f'"{model}" can\'t be loaded: {reason.rstrip(".")}.', "Check its files and its family."
        ) from error
