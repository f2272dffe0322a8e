"""What another program sees in a finished GGUF file: its tokens, its stop tokens, its prompts.

The file is opened by llama.cpp with its vocabulary only, and prompts are rendered by llama-cpp-
python's own formatter, so nothing of Afina's stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.chat.llamacpp_log import Log
from core.errors import AfinaError
from exporters.contract import Conversation, Seen
from exporters.isolated import Send
from exporters.read_isolated import read_aside


def read_back(
    path: Path,
    texts: Sequence[str],
    conversations: Sequence[Conversation] = (),
    on_wait: Callable[[], None] = lambda: None,
) -> Seen:
    """Opens the file in another process. Raises AfinaError when it can't be opened or rendered.

    What `on_wait` raises ends that process.
    """
    return read_aside(_read_back, path, texts, conversations, on_wait)


def _read_back(send: Send, path: str, texts: list[str], conversations: list[Conversation]) -> None:
    import llama_cpp

    log = Log(llama_cpp)
    llama_cpp.llama_backend_init()
    settings = llama_cpp.llama_model_default_params()
    settings.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
    if not model:
        raise AfinaError(
            f"llama.cpp can't open the file: {log.reason()}.",
            "This is a bug in Afina or an option of the model that llama.cpp lacks.",
        )
    file = _File(llama_cpp, model)
    rendered = file.render(conversations) if conversations else []
    send(
        msgspec.to_builtins(
            Seen(
                ids=[file.tokenize(text, add_special=False) for text in texts],
                prompts=[file.feed(text) for text in rendered],
                stop_ids=[
                    token
                    for token in range(file.size)
                    if file.c.llama_vocab_is_eog(file.vocab, token)
                ],
            )
        )
    )


class _File:
    """An open vocabulary."""

    def __init__(self, llama_cpp: Any, model: Any) -> None:
        self.c = llama_cpp
        self.model = model
        self.vocab = llama_cpp.llama_model_get_vocab(model)
        self.size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.add_bos = bool(llama_cpp.llama_vocab_get_add_bos(self.vocab))

    def tokenize(self, text: str, add_special: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 8  # a token has a byte at least, and some are added
        ids = (self.c.llama_token * room)()
        count = self.c.llama_tokenize(self.vocab, data, len(data), ids, room, add_special, True)
        return list(ids[: max(count, 0)])

    def feed(self, text: str) -> list[int]:
        """As chat programs on llama.cpp do: the BOS that they add is cut from the text."""
        bos = self.text(self.c.llama_vocab_bos(self.vocab))
        if self.add_bos and bos and text.startswith(bos):
            text = text[len(bos) :]
        return self.tokenize(text, add_special=True)

    def render(self, conversations: list[Conversation]) -> list[str]:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        source = self.c.llama_model_chat_template(self.model, None)
        if source is None:
            raise AfinaError("The file carries no chat template.", "Export it again.")
        try:  # first without the extra tags that this one program lets pass
            ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(
                source.decode()
            )
            formatter = Jinja2ChatFormatter(
                template=source.decode(),
                eos_token=self.text(self.c.llama_vocab_eos(self.vocab)),
                bos_token=self.text(self.c.llama_vocab_bos(self.vocab)),
                add_generation_prompt=True,
            )
            return [formatter(**conversation).prompt for conversation in conversations]
        except TemplateError as error:
            raise AfinaError(
                f"Other programs can't render the file's chat template: {error}.",
                "Write the template without tags that only transformers knows.",
            ) from error

    def text(self, token: int) -> str:
        return self.c.llama_vocab_get_text(self.vocab, token).decode() if token >= 0 else ""
