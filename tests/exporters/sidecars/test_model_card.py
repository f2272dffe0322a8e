"""The model card: what the files are and how near, with nothing in it that is not text."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporters.results import FAIL, PASS, WARN, Check, Result
from exporters.sidecars.base import Base, Licence
from exporters.sidecars.model_card import Card, escaped
from exporters.sidecars.training import Training

BASE = Base("org/tiny", True, Licence("apache-2.0"))
OK = Check("divergence", PASS, "KL is small.")


def result(path: str, kind: str = "gguf", type_name: str = "q8_0", **fields: Any) -> Result:
    return Result(path, kind, type_name, 3 * 2**20, fields.pop("verdict", PASS), **fields)


def front_matter(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_hubs_read_base_licence_library_and_tags() -> None:
    results = [result("gguf/a-q8_0.gguf"), result("merged/a-bf16", "merged", "bf16")]
    training = Training("lora", [("method.kind", "lora")])
    found = front_matter(Card("a", BASE, results, training).text())
    assert found == {
        "base_model": "org/tiny",
        "base_model_relation": "finetune",
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["afina", "lora", "gguf"],
    }
    private = front_matter(Card("a", Base("tiny", False, None), results).text())
    assert not {"base_model", "license"} & private.keys()
    own = Base("tiny", False, Licence("other", "own-terms", "https://example.org/terms"))
    text = Card("a", own, results).text()
    assert front_matter(text)["license_name"] == "own-terms"
    assert "own-terms, <https://example.org/terms>." in text


def test_the_table_has_every_result_and_a_failed_one_is_marked() -> None:
    results = [
        result("gguf/a-q8_0.gguf", kl=0.0012, agreement=0.98, perplexity=5.25, checks=[OK]),
        result(
            "gguf/a-q2_k.failed.gguf",
            type_name="q2_k",
            verdict=FAIL,
            checks=[
                OK,
                Check("tuning", FAIL, "91% of it is lost.", "Choose a type with more bits."),
            ],
        ),
        result("onnx/a-int4", "onnx", "int4", verdict=WARN, checks=[Check("x", WARN, "Odd.")]),
    ]
    text = Card("a", BASE, results).text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        "| `gguf/a-q8_0.gguf` | 3.0 MiB | pass | 0.0012 | 98% | 5.25 | - |",
        "| `gguf/a-q2_k.failed.gguf` | 3.0 MiB | **fail** | - | - | - | - |",
        "| `onnx/a-int4` | 3.0 MiB | warn | - | - | - | - |",
    ]
    assert "- **fail**: 91% of it is lost. Choose a type with more bits." in text
    assert "- warn: Odd." in text and "KL is small" not in text


def test_each_kind_says_how_it_is_run_and_what_failed_is_not_offered() -> None:
    results = [
        result("gguf/a-q2_k.failed.gguf", verdict=FAIL),
        result("gguf/a-q8_0.gguf"),
        result("gguf/a-lora.gguf", type_name="lora"),
        result("onnx/a-int4", "onnx", "int4"),
        result("merged/a-bf16", "merged", "bf16"),
    ]
    text = Card("A b", BASE, results).text()
    commands = text.split("## Run")[1]
    assert "llama-cli -m gguf/a-q8_0.gguf --jinja" in commands
    assert "ollama create a-b -f gguf/a-q8_0.Modelfile && ollama run a-b" in commands
    assert "--lora gguf/a-lora.gguf" in commands
    assert 'og.Model("onnx/a-int4")' in commands
    assert 'from_pretrained("merged/a-bf16")' in commands
    assert "failed" not in commands
    apart = "../../exports/onnx/base-multi-int4/adapters/a.onnx_adapter"
    other = Card("a", BASE, [result(apart, "onnx", "multi-int4")], adapter_sha256="f00").text()
    assert 'og.Model("../../exports/onnx/base-multi-int4")' in other
    assert f'adapters.load("{apart}", "tuned")' in other
    assert f"afina chat ../../exports/onnx/base-multi-int4 --adapter {apart}" in other
    assert "`f00`" in other and "`f00`" not in text
    assert "template" not in other.split("apply_chat_template(")[1].split(")")[0]
    own = Card("a", BASE, [result(apart, "onnx", "multi-int4")], own_template=True).text()
    assert f'template = open("{apart.removesuffix("onnx_adapter")}jinja").read()' in own
    assert "template_str=template" in own
    for block in re.findall(r"```python\n(.*?)```", commands + other + own, re.DOTALL):
        compile(block, "README.md", "exec")
    assert "## Run" not in Card("a", BASE, results[:1]).text()


@pytest.mark.parametrize(
    "text",
    [
        "a | b",
        "[x](http://y)",
        "<script>",
        "# no\n\n## heading",
        "`code`",
        "\x1b[2J",
        "- a",
        "![i](j)",
    ],
)
def test_names_and_data_can_not_become_markup(text: str) -> None:
    training = Training("lora", [(text, text)])
    failing = result("gguf/a.gguf", verdict=FAIL, checks=[Check("x", FAIL, text, text)])
    plain = Card("a", Base("b", False, None), [failing], Training("lora", [("c", "d")])).text()
    card = Card(text, Base(text, False, None), [failing], training).text()
    body = card.split("---\n", 2)[2]
    assert "\x1b" not in card
    for mark in (r"(?<!\\)\]\(", r"(?<!\\)<script", r"!\[", r"\n## heading"):
        assert not re.search(mark, body)
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert len(headings) == len([line for line in plain.splitlines() if line.startswith("#")])
    row = next(line for line in body.splitlines() if line.endswith(f"{escaped(text)} |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_plain_names_stay_readable() -> None:
    assert escaped("travel-lora (v1.2) + 3: a_b") == "travel-lora (v1.2) + 3: a_b"
    assert escaped("_a_ __b__ http://c www.d e@f") == (r"\_a\_ \_\_b\_\_ http\://c www\.d e\@f")
    assert escaped("- a") == r"\- a" and escaped("1. a") == r"1\. a" and escaped("#") == r"\#"


@given(st.text())
def test_escaped_text_is_one_line_without_anything_that_marks_up(text: str) -> None:
    found = escaped(text)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*{}\[\]<>|~]", found)
    assert not re.match(r"\s*([-+#=]|\d+[.)])", found)


def test_the_distance_is_the_one_on_evaluation_rows_where_it_was_measured() -> None:
    text = Card("a", BASE, [result("gguf/a-q8_0.gguf", kl=0.5, row_kl=0.0123)]).text()
    (row,) = [line for line in text.splitlines() if line.startswith("| `")]
    assert "| 0.0123 |" in row and "0.5" not in row
