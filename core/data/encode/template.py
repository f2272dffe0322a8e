"""Chat templates: Jinja as transformers runs it, with what the assistant wrote marked.

A text rendered here equals `apply_chat_template(..., tokenize=False)` of transformers 5.23.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from core.data.encode.tokenizer import read_json, special_tokens
from core.data.sample import Message
from core.errors import AfinaError
from core.hub import model_folder

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_REASONING = ("reasoning_content", "thinking", "reasoning")
# What a template raises besides Jinja's errors: it is code, run on data that it did not expect.
_FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


class Rendered(msgspec.Struct):
    """A conversation as text; `generated` are the characters in {% generation %} blocks."""

    text: str
    generated: list[tuple[int, int]]
    has_generation_markers: bool  # false also where the markers could not be followed


class TemplateRefusal(AfinaError):
    """The template can't render this conversation; the message carries its own words."""


class ChatTemplate:
    """A model's chat template, or the named ones it has ("default", "tool_use")."""

    def __init__(self, sources: dict[str, str], special: dict[str, str], origin: str = "") -> None:
        self.sources = sources
        self.special = special  # "bos_token" -> "<s>", handed to the template
        self.origin = origin

    @classmethod
    def load(
        cls, model: str | os.PathLike[str], override: str | os.PathLike[str] | None = None
    ) -> ChatTemplate:
        """The template of a model, or the file given instead; AfinaError where there is none."""
        template = cls.find(model, override)
        if template is None:
            raise AfinaError(
                f'The model "{model}" has no chat template.',
                "Give one with data.chat_template=FILE, or use rows of prompt and completion.",
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
            path = Path(override).expanduser()
            return cls({"default": _read(path)}, special, str(path))
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
            text, spans = tracker.follow(
                template.generate(
                    messages=[_cleaned(message) for message in messages],
                    tools=tools,
                    documents=None,
                    add_generation_prompt=add_generation_prompt,
                    **self.special,
                )
            )
        except jinja2.TemplateSyntaxError as error:
            words = str(error.message).rstrip(".")
            raise AfinaError(
                f"The chat template has an error in line {error.lineno}: {words}.",
                f'It is the one of "{self.origin}".',
            ) from error
        except (jinja2.TemplateError, *_FAILURES) as error:
            raise TemplateRefusal(f"The chat template can't render this: {error}.") from error
        marked = bool(_GENERATION.search(source))
        sound = all(text[start : start + len(block)] == block for start, block in spans)
        generated = (
            [(start, start + len(block)) for start, block in spans if block] if sound else []
        )
        return Rendered(text, generated, marked and sound)


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
