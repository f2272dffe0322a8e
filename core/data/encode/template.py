"""Chat templates: Jinja as transformers runs it, with what the assistant wrote marked.

A text rendered here equals `apply_chat_template(..., tokenize=False)` of transformers 5.23.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import Tokenizer, special_tokens
from core.data.sample import Message
from core.errors import AfinaError
from core.hub import model_folder
from core.model_files.json_file import read_json

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_REASONING = ("reasoning_content", "thinking", "reasoning")
# What a template raises besides Jinja's errors: it is code, run on data that it did not expect.
FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


# Our own, by name, and the token that ends a turn in them; "" is the model's own end token.
BUILT_IN = {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "alpaca": ""}


class Rendered(msgspec.Struct):
    """A conversation as text; `generated` are the characters in {% generation %} blocks."""

    text: str
    generated: list[tuple[int, int]]
    has_generation_markers: bool  # false also where the markers could not be followed

    @classmethod
    def of(cls, text: str, blocks: list[tuple[int, str]], source: str) -> Rendered:
        """A text with its generation blocks, (start, block), believed where they are in it."""
        if not all(text[start : start + len(block)] == block for start, block in blocks):
            return cls(text, [], False)
        spans = [(start, start + len(block)) for start, block in blocks if block]
        return cls(text, spans, bool(_GENERATION.search(source)))


class TemplateRefusal(AfinaError):
    """The template can't render this conversation; the message carries its own words."""


class ChatTemplate:
    """A model's chat template, or the named ones it has ("default", "tool_use")."""

    def __init__(
        self, sources: dict[str, str], special: dict[str, str], origin: str = "", name: str = ""
    ) -> None:
        self._name = name
        self.sources = sources
        self.special = special  # "bos_token" -> "<s>", handed to the template
        self.origin = origin

    @classmethod
    def load(
        cls, model: str | os.PathLike[str], override: str | os.PathLike[str] | None = None
    ) -> ChatTemplate:
        """The model's template, or the file or built-in one named; AfinaError without any."""
        template = cls.find(model, override)
        if template is None:
            raise AfinaError(
                f'The model "{model}" has no chat template.',
                f"Give one with data.chat_template: a file, or {', '.join(BUILT_IN)}.",
            )
        return template

    @classmethod
    def find(
        cls, model: str | os.PathLike[str], override: str | os.PathLike[str] | None = None
    ) -> ChatTemplate | None:
        """Like load, with None for a model without a template."""
        folder = model_folder(model)
        special = special_tokens(folder)
        if override:
            name = Path(override).name
            return cls({"default": template_text(override)}, special, str(override), name)
        sources = {}
        config = read_json(folder, "tokenizer_config.json").get("chat_template")
        if isinstance(config, str):
            sources["default"] = config
        elif isinstance(config, list):
            sources = {item["name"]: item["template"] for item in config}
        files = {"default": folder / "chat_template.jinja"}
        files |= {
            path.stem: path for path in (folder / "additional_chat_templates").glob("*.jinja")
        }
        read = {name: _read(path) for name, path in files.items() if path.is_file()}
        sources = read or sources
        return cls(sources, special, str(folder)) if sources else None

    @property
    def name(self) -> str:
        """For people: a built-in name, a file's name, or "the model's own"."""
        return self._name or "the model's own"

    @property
    def has_markers(self) -> bool:
        """Whether the template says itself what the assistant wrote."""
        return any(_GENERATION.search(source) for source in self.sources.values())

    def source(self, tools: bool = False) -> str:
        """The Jinja text that is used, with or without tools."""
        if tools and "tool_use" in self.sources:
            return self.sources["tool_use"]
        if "default" not in self.sources:
            names = ", ".join(sorted(self.sources))
            raise AfinaError(
                f"The model has several chat templates and none is the default: {names}.",
                "Give one with data.chat_template=FILE.",
            )
        return self.sources["default"]

    def render(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """The conversation as text; raises TemplateRefusal with the template's own words."""
        import jinja2

        from core.data.encode.jinja import compile_template

        source = self.source(bool(tools))
        try:
            template, tracker = compile_template(source)
            fields = self.fields(messages, tools, add_generation_prompt)
            text, blocks = tracker.follow(template.generate(**fields))
        except jinja2.TemplateSyntaxError as error:
            words = str(error.message).rstrip(".")
            raise AfinaError(
                f"The chat template has an error in line {error.lineno}: {words}.",
                f'It is the one of "{self.origin}".',
            ) from error
        except (jinja2.TemplateError, *FAILURES) as error:
            raise TemplateRefusal(f"The chat template can't render this: {error}.") from error
        return Rendered.of(text, blocks, source)

    def fields(
        self, messages: list[Message], tools: list[dict[str, Any]] | None, answer_follows: bool
    ) -> dict[str, Any]:
        """What a template is given, as transformers gives it."""
        return {
            "messages": [_cleaned(message) for message in messages],
            "tools": tools,
            "documents": None,
            "add_generation_prompt": answer_follows,
            **self.special,
        }


def check_built_in(name: str | os.PathLike[str] | None, tokenizer: Tokenizer) -> None:
    """Raises AfinaError where a built-in template ends turns with no single token of the model."""
    if name not in BUILT_IN:
        return
    end = BUILT_IN[str(name)] or tokenizer.eos
    if end is None or tokenizer.token_id(end) is None:
        named = f'"{end}", which is no token' if end else "the end token, and there is none"
        raise AfinaError(
            f'The chat template "{name}" ends turns with {named} of this model.',
            f"The model would not learn to stop. Use {_others(str(name), tokenizer)}.",
        )


def _others(name: str, tokenizer: Tokenizer) -> str:
    """The built-in templates that suit a tokenizer better, and what else there is."""
    ends = ((other, end or tokenizer.eos) for other, end in BUILT_IN.items() if other != name)
    able = [other for other, end in ends if end and tokenizer.token_id(end) is not None]
    return ", ".join([*able, "the model's own template or a file"])


def template_text(name: str | os.PathLike[str]) -> str:
    """The Jinja text of a built-in template or of a file; raises AfinaError where it has none."""
    if name in BUILT_IN:
        return _read(Path(__file__).parent / "templates" / f"{name}.jinja")
    return _read(Path(name).expanduser())


def _cleaned(message: Message) -> Message:
    """A message as transformers hands it over: no null keys, reasoning under its every name."""
    message = {key: value for key, value in message.items() if value is not None}
    reasoning = next((message[key] for key in _REASONING if key in message), None)
    if reasoning is not None:
        message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
    return message


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AfinaError(f'Can\'t read the chat template "{path}": {reason}.') from error
