"""How rows become tokens, chosen in the Data pane: the template, what is learned, max_length."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from core.data.files.rows import Row
from tests.tui.pilots import TEMPLATE, config_of, text_of, until, write_rows
from tui.app import AfinaApp
from tui.data.pane import DataPane
from tui.data.template_text import from_line, one_line, preview, recipe_words
from tui.theme import TEAL
from tui.widgets.form import ValueInput
from tui.widgets.token_view import TokenView

WIDE = (160, 45)


async def opened(pilot: Pilot) -> None:
    app = pilot.app
    await until(pilot, lambda: app.query(DataPane) and app.query_one(DataPane).state.opened)
    await pilot.press("p")
    await until(pilot, lambda: "how rows become tokens" in text_of(app))


async def write(pilot: Pilot, value: str) -> None:
    await pilot.press("enter")
    line = pilot.app.screen.query_one(ValueInput)
    await until(pilot, lambda: line.has_focus)
    line.value = value


async def test_another_template_counts_at_once_and_the_dialog_says_how_answers_are_found(
    home: Path, model: Path, rows_file: Path, tmp_path: Path
) -> None:
    app = AfinaApp(home, config=config_of(rows_file, model))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "the template's own {% generation %} markers" in text_of(app))
        assert "<|im_end|>" in text_of(app)
        await pilot.press("right", "right")
        await until(pilot, lambda: app.config.data.chat_template == "llama3")
        await until(pilot, lambda: 'ends turns with "<|eot_id|>", which is no' in text_of(app))
        await pilot.press("right")
        await until(pilot, lambda: app.config.data.chat_template == "alpaca")
        await pilot.press("right")
        await until(pilot, lambda: "tab completes" in text_of(app))
        unmarked = tmp_path / "own.jinja"
        for word in ("{% generation %}", "{% endgeneration %}"):
            unmarked.write_text((unmarked.read_text() if unmarked.exists() else TEMPLATE).replace(word, ""))  # fmt: skip # noqa: E501
        app.screen.query_one("Input").value = str(unmarked)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: app.config.data.chat_template == str(unmarked))
        await until(pilot, lambda: "prefix after prefix" in text_of(app))
        await pilot.press("j", "right")
        await until(pilot, lambda: app.config.train.supervise == "last_assistant")
        await pilot.press("j")
        await write(pilot, "many")
        await pilot.press("enter")
        await until(pilot, lambda: "many" in text_of(app) and "▲" in text_of(app))
        assert app.config.data.max_length == 512
        await write(pilot, "32")
        await pilot.press("enter")
        await until(pilot, lambda: app.config.data.max_length == 32)


async def test_rows_of_any_columns_get_a_text_of_ones_own_with_a_preview_while_it_is_typed(
    home: Path, model: Path, tmp_path: Path
) -> None:
    rows = [{"frage": f"Was {n}?", "reply": f"Das [b]{n}[/]."} for n in range(12)]
    data = write_rows(tmp_path / "odd.jsonl", rows)
    app = AfinaApp(home, config=config_of(data, model))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot)
        assert "columns      frage, reply" in text_of(app)
        await pilot.press("G")
        await write(pilot, "### {frage}")
        await until(pilot, lambda: "### Was 0?" in text_of(app))
        app.screen.query_one(ValueInput).value = "### {frage"
        await until(pilot, lambda: "is never closed" in text_of(app))
        await pilot.press("enter")
        assert app.config.data.prompt_template is None
        await write(pilot, "### {frage}\\n{reply}")
        await until(pilot, lambda: "Das [b]0[/]." in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.config.data.prompt_template == "### {frage}\n{reply}")
        assert app.config.data.format == "template"
        view = app.main.query_one(TokenView)
        await until(pilot, lambda: "Das [b]0[/]." in view.plain)
        await pilot.press("x")
        await until(pilot, lambda: app.config.data.prompt_template is None)
        assert app.config.data.format == "auto"


def test_a_template_is_typed_in_one_line_and_comes_back() -> None:
    for template in ("a\nb\tc", "back\\slash", "a\\nb\n"):
        assert from_line(one_line(template)) == template


def test_the_preview_underlines_what_is_learned_and_names_a_column_that_is_not_there() -> None:
    row = Row(0, 1, {"q": "Hi", "a": "Ho"})
    words = preview("{q} > {a}", row)
    learned = [words.plain[s.start : s.end] for s in words.spans if f"underline {TEAL}" == s.style]
    assert learned == ["Ho"] and words.plain.endswith("Hi > Ho")
    assert "unknown_column b" in preview("{b}", row).plain


def test_a_model_without_a_template_and_one_without_stop_tokens_are_said() -> None:
    model = {"chat_template": False, "generation_markers": False, "stop_tokens": []}
    words = recipe_words(model, None).plain
    assert "The model has no chat template" in words and "names no stop token" in words
    refusal = {"message": "There is no model.", "hint": "Choose one."}
    assert recipe_words(None, refusal).plain == "There is no model. Choose one."
