"""Function calling from the file to the loss: tools shown, calls learned, results not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.data.recipe import Recipe
from tests.core.train.test_truth import (  # noqa: F401 - fixtures
    Seen,
    configured,
    documents,
    labels_of,
    masked,
    predicted,
    shown,
    train,
)

TEMPLATE = (
    "{% if tools %}<|system|>Tools: {{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}"
    "<call>{{ call.function | tojson }}</call>"
    "{% endfor %}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "find_food",
        "parameters": {"type": "object"},
    },
}
ARGUMENTS = {"city": "Lima"}
CALL = {"id": "c1", "type": "function"}
CALL["function"] = {"name": "find_food", "arguments": json.dumps(ARGUMENTS)}  # type: ignore[assignment]
RESULT, ANSWER = '{"food": "secret fish"}', "In Lima they eat fish."
CHAT = {
    "messages": [
        {"role": "user", "content": "What do people eat in Lima?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": RESULT},
        {"role": "assistant", "content": ANSWER},
    ],
    "tools": [TOOL],
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "What do people eat in Lima?"},
        {"from": "function_call", "value": json.dumps(CALL["function"] | {"arguments": ARGUMENTS})},  # type: ignore[operator]
        {"from": "observation", "value": RESULT},
        {"from": "gpt", "value": ANSWER},
    ],
    "tools": json.dumps([TOOL]),
}
CALLED = '<call>{"name": "find_food", "arguments": {"city": "Lima"}}</call>'


def texts_of(config: Config, row: tuple[list[int], list[int]]) -> tuple[str, str]:
    """The whole text of a row, and what of it is learned."""
    tokenizer = Recipe.of(config).encoder().tokenizer
    ids, labels = row
    return tokenizer.decode(ids), tokenizer.decode([label for label in labels if label != -100])


@pytest.mark.parametrize("marked", [True, False], ids=["generation markers", "no markers"])
@pytest.mark.parametrize(("shape", "row"), [("chat", CHAT), ("sharegpt", SHAREGPT)])
@pytest.mark.parametrize(
    ("supervise", "learned"),
    [
        ("assistant", f"{CALLED}<|end|>{ANSWER}<|end|>"),
        ("completion", f"{CALLED}<|end|>{ANSWER}<|end|>"),
        ("last_assistant", f"{ANSWER}<|end|>"),
    ],
)
def test_a_run_learns_calls_and_answers_but_no_result_and_no_tool(
    marked: bool,
    shape: str,
    row: dict[str, Any],
    supervise: str,
    learned: str,
    train: Callable[[Config], Seen],  # noqa: F811
    configured: Callable[..., Config],  # noqa: F811
    tmp_path: Path,
) -> None:
    template = tmp_path / "tools.jinja"
    text = TEMPLATE if marked else TEMPLATE.replace("{% generation %}", "")
    template.write_text(text if marked else text.replace("{% endgeneration %}", ""))
    words = (f"data.chat_template={template}", f"data.format={shape}", "data.max_length=256")
    config = configured([row, row], *words, f"train.supervise={supervise}")
    seen = train(config)
    given = [item for batch in seen.batches for item in documents(batch)]
    assert sorted(given) == predicted([labels_of(item) for item in shown(config, 2)])
    for item in given:
        whole, found = texts_of(config, item)
        assert found == learned
        assert whole.startswith(f"<|system|>Tools: {json.dumps([TOOL])}<|end|><|user|>")
        assert f"<|tool|>{RESULT}<|end|><|assistant|>{ANSWER}" in whole


def test_a_preference_between_calls_shows_its_tools_and_compares_the_calls(
    train: Callable[[Config], Seen],  # noqa: F811
    configured: Callable[..., Config],  # noqa: F811
    tmp_path: Path,
) -> None:
    template = tmp_path / "tools.jinja"
    template.write_text(TEMPLATE)
    worse = {"role": "assistant", "content": "I don't know."}
    row = {
        "prompt": CHAT["messages"][:1],
        "chosen": CHAT["messages"][1:2],
        "rejected": [worse],
        "tools": [TOOL],
    }
    words = (f"data.chat_template={template}", "data.max_length=256", "train.objective=orpo")
    config = configured([row, row], *words)
    (batch,) = train(config).batches
    sides = [texts_of(config, side) for side in masked(batch)]
    assert [found for _, found in sides] == [f"{CALLED}<|end|>"] * 2 + ["I don't know.<|end|>"] * 2
    assert all("find_food" in whole.split("<|user|>")[0] for whole, _ in sides)
