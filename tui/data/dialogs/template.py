"""How rows become tokens: the template, what is learned, max_length. Each change counts at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.widgets import Input

from core.config import Config, config_io
from core.data.files.source import Row
from core.errors import AfinaError
from tui import options as form_options
from tui.data.template_text import FILE, MODEL, from_line, one_line, preview, recipe_words
from tui.dialogs.dialog import Dialog
from tui.dialogs.path import PathDialog
from tui.widgets.footer import Footer
from tui.widgets.form import Form
from tui.widgets.form_lines import Group, Option
from tui.widgets.frame import Frame, Words

BUILT_IN = ("chatml", "llama3", "alpaca")
JINJA = (".jinja", ".jinja2", ".j2", ".txt")
TEMPLATE, PROMPT = "data.chat_template", "data.prompt_template"
SUPERVISE, MAX_LENGTH = "train.supervise", "data.max_length"


class TemplateDialog(Dialog[None]):
    """Changes the app's configuration; `opened` is the worker's answer to `open`."""

    def __init__(self, opened: dict[str, Any], row: Row | None) -> None:
        super().__init__()
        self._opened = opened
        self._row = row
        self._problem: tuple[str, str, str] | None = None  # option, what was typed, sentence

    def compose(self) -> ComposeResult:
        with Frame("how rows become tokens", "kept in the configuration"):
            yield Form(long_values=True)
            yield Words(id="recipe")
            yield Words(id="preview")
        yield Footer()

    def on_mount(self) -> None:
        super().on_mount()
        self.draw()
        self.query_one(Form).lines.focus()

    def take(self, opened: dict[str, Any]) -> None:
        """The rows are opened anew with what was chosen."""
        self._opened = opened
        self.draw()

    @property
    def _config(self) -> Config:
        return self.afina.config

    def draw(self) -> None:
        data = self._config.data
        template = data.chat_template or MODEL
        choices = tuple(form_options.choices_of(SUPERVISE))
        options = [
            self._option(TEMPLATE, "template", template, (MODEL, *BUILT_IN, FILE)),
            self._option(SUPERVISE, "learned", self._config.train.supervise, choices),
            self._option(MAX_LENGTH, "max_length", str(data.max_length), hint="tokens"),
        ]
        line = one_line(data.prompt_template)
        own = [self._option(PROMPT, "text of columns", line or form_options.NONE)]
        form = self.query_one(Form)
        form.set_groups([Group("Template", options), Group("Text of one's own", own)])
        form.styles.height = form.lines.count
        words = recipe_words(self._opened.get("model"), self._opened.get("refusal"))
        self.query_one("#recipe", Words).update(words)
        self._preview(data.prompt_template or "")

    def _option(
        self, name: str, label: str, value: str, choices: tuple[str, ...] = (), hint: str = ""
    ) -> Option:
        problems: tuple[tuple[str, str], ...] = ()
        if self._problem is not None and self._problem[0] == name:
            value, problems = self._problem[1], (("error", self._problem[2]),)
        default = {TEMPLATE: MODEL, PROMPT: form_options.NONE}.get(name)
        if default is None:
            default = form_options.text_of(form_options.default_of(name))
        return Option(name, label, value, hint, choices, value != default, problems)

    def _preview(self, template: str) -> None:
        self.query_one("#preview", Words).update(preview(template, self._row))

    def on_input_changed(self, event: Input.Changed) -> None:
        option = self.query_one(Form).lines.option
        if option is not None and option.name == PROMPT:
            self._preview(from_line(event.value))

    def on_form_edited(self, event: Form.Edited) -> None:
        name, value = event.name, event.value
        self._problem = None
        if name == TEMPLATE and value == FILE:
            self.app.push_screen(PathDialog("chat template", JINJA), self._take_file)
        elif name == TEMPLATE:
            self._set_data(chat_template=None if value in (None, MODEL) else value)
        elif name == PROMPT:
            self._set_prompt("" if value in (None, form_options.NONE) else from_line(value))
        else:
            self._set(name, value)

    def _take_file(self, path: Path | None) -> None:
        if path is not None:
            self._set_data(chat_template=str(path.expanduser().resolve()))

    def _set_prompt(self, template: str) -> None:
        """A text of one's own takes the shape with it, and gives it back when it goes."""
        from core.data.shapes.columns import parse_prompt_template

        if not template:
            shape = self._config.data.format
            back = "auto" if shape == "template" else shape
            self._set_data(prompt_template=None, format=back)
            return
        try:
            parse_prompt_template(template)
        except AfinaError as error:
            self._refuse(PROMPT, one_line(template), error)
        else:
            self._set_data(prompt_template=template, format="template")

    def _set(self, name: str, value: str | None) -> None:
        try:
            if value is None:
                default = form_options.default_of(name)
                config = form_options.set_value(self._config, name, default)
            else:
                config = form_options.set_text(self._config, name, value)
        except config_io.ConfigError as error:
            problem = error.problems[0]
            self._refuse(name, value or "", AfinaError(problem.message, problem.hint))
        else:
            self._take_config(config)

    def _set_data(self, **values: Any) -> None:
        data = msgspec.structs.replace(self._config.data, **values)
        self._take_config(msgspec.structs.replace(self._config, data=data))

    def _take_config(self, config: Config) -> None:
        if config != self._config:
            self._opened = {}
            self.afina.set_config(config)
        self.draw()

    def _refuse(self, name: str, value: str, error: AfinaError) -> None:
        self._problem = (name, value, f"{error.message} {error.hint}".strip())
        self.draw()
