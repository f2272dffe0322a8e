"""What is measured becomes pass, warn or fail, a sentence and a way out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from exporters.contract import EXPORTERS, exporter_class
from exporters.parity.bounds import BOUNDS, bounds_of
from exporters.parity.judge import judge, tell, verdict
from exporters.parity.measured import EvalRows, Measured, Others, Weights
from exporters.results import FAIL, PASS, WARN, Result

ROWS = EvalRows(rows=30, tokens=900, kl=0.0, perplexity=3.0, perplexity_tuned=3.0)
WEIGHTS = Weights(tensors=21, off=0, first_off="", first_error=0.0, largest_error=0.01, carried=1.0)
OTHERS = Others(
    prompts=40,
    prompts_equal=40,
    doubled_bos=0,
    different_prompt="",
    snippets=300,
    snippets_equal=300,
    different_snippet="",
    singles=1000,
    singles_equal=1000,
    swapped=0,
    first_swapped="",
)
GOOD = Measured(
    prompts=20,
    prompts_equal=20,
    others=OTHERS,
    stop_ids_missing=[],
    stops_inside=[],
    stopped=20,
    stopped_here=20,
    agreement=1.0,
    common_prefix=22.5,
    identical=1.0,
    parted=0,
    kl=0.0,
    max_delta_log_p=0.0,
    tokens=400,
    rows=ROWS,
    rows_missing="",
    weights=WEIGHTS,
    effect=0.5,
    carried=1.0,
    tokens_per_s=100.0,
    threads=1,
    reference="float32",
)


def changed(**changes: Any) -> Measured:
    return msgspec.structs.replace(GOOD, **changes)


def weights(**changes: Any) -> dict[str, Any]:
    return {"weights": msgspec.structs.replace(WEIGHTS, **changes)}


def others(**changes: Any) -> dict[str, Any]:
    return {"others": msgspec.structs.replace(OTHERS, **changes)}


def rows(**changes: Any) -> dict[str, Any]:
    return {"rows": msgspec.structs.replace(ROWS, **changes)}


@pytest.mark.parametrize("word", BOUNDS)
def test_what_differs_in_nothing_passes(word: str) -> None:
    checks = judge(GOOD, *word.split(":"))
    assert verdict(checks) == PASS
    assert not any(check.hint for check in checks)


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_type_that_is_offered_has_bounds(kind: str) -> None:
    for type_name in exporter_class(kind).CHOICES:
        bounds = bounds_of(kind, type_name)
        assert 0 < bounds.kl[0] < bounds.kl[1]


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ({"prompts_equal": 19, "different_prompt": "Hi"}, "prompts", FAIL),
        (others(prompts_equal=0, doubled_bos=40), "bos", FAIL),
        (others(prompts_equal=3, different_prompt="Hi"), "bos", FAIL),
        (others(snippets_equal=298), "snippets", WARN),
        (others(snippets_equal=285), "snippets", WARN),
        (others(snippets_equal=278), "snippets", FAIL),
        (others(singles_equal=998, swapped=2, first_swapped="sea"), "vocabulary", FAIL),
        (others(singles_equal=998), "vocabulary", WARN),
        (others(singles_equal=900), "vocabulary", FAIL),
        ({"stop_ids_missing": [7]}, "stop tokens", FAIL),
        ({"stops_inside": [7]}, "stop tokens", FAIL),
        ({"stopped_here": 15}, "stopping", WARN),
        ({"stopped_here": 2}, "stopping", FAIL),
        ({"parted": 3}, "agreement", WARN),
        ({"parted": 9}, "agreement", FAIL),
        ({"kl": 0.008}, "divergence", WARN),
        ({"kl": 0.02}, "divergence", FAIL),
        (rows(kl=0.008), "eval rows", WARN),
        (rows(kl=0.02), "eval rows", FAIL),
        (rows(perplexity=3.02), "perplexity", WARN),
        (rows(perplexity=3.1), "perplexity", FAIL),
        (weights(off=2, first_off="blk.0", first_error=1.41), "weights", FAIL),
        (weights(carried=0.0), "weights", FAIL),
        (weights(carried=2.0), "weights", FAIL),
        (weights(carried=0.7), "weights", WARN),
        ({"carried": 0.7}, "tuning", WARN),
        ({"carried": 0.0}, "tuning", FAIL),
        ({"carried": 2.0}, "tuning", FAIL),
        ({"kl": 0.3}, "tuning", WARN),
    ],
)
def test_each_kind_of_difference_is_a_sentence_with_a_way_out(
    change: dict[str, Any], name: str, state: str
) -> None:
    checks = {check.name: check for check in judge(changed(**change), "gguf", "q8_0")}
    assert checks[name].verdict == state
    assert checks[name].message.endswith(".") and checks[name].hint.endswith(".")


def test_a_type_of_fewer_bits_may_lose_more() -> None:
    lossy = changed(kl=0.09, parted=4, effect=None)
    assert verdict(judge(lossy, "gguf", "q4_k_m")) == PASS
    assert verdict(judge(lossy, "gguf", "q8_0")) == FAIL


def test_answers_that_part_at_near_ties_only_are_not_held_against_an_export() -> None:
    tied = changed(agreement=0.1, identical=0.0, parted=0)
    assert verdict(judge(tied, "gguf", "f16")) == PASS


def test_a_tuning_that_is_hardly_there_is_not_called_lost() -> None:
    faint = changed(kl=0.004, effect=0.003, carried=0.1)
    assert verdict(judge(faint, "gguf", "q8_0")) == PASS


def test_a_perplexity_over_a_few_tokens_is_told_and_not_judged() -> None:
    few = changed(**rows(tokens=40, perplexity=3.2))
    check = next(c for c in judge(few, "gguf", "f16") if c.name == "perplexity")
    assert check.verdict == PASS and "too few" in check.message


def test_against_half_the_digits_small_losses_are_not_seen_and_that_is_said() -> None:
    rough = changed(reference="bfloat16", kl=0.002, max_delta_log_p=0.05)
    checks = {check.name: check for check in judge(rough, "gguf", "f16")}
    assert checks["divergence"].verdict == checks["log p"].verdict == PASS
    assert checks["reference"].verdict == WARN and "bfloat16" in checks["reference"].message
    assert verdict(judge(changed(kl=0.002), "gguf", "f16")) == WARN
    lost = changed(reference="bfloat16", kl=0.3)
    assert verdict(judge(lost, "gguf", "f16")) == FAIL


def test_without_rows_the_own_answers_alone_are_judged() -> None:
    names = [check.name for check in judge(changed(rows=None), "gguf", "q8_0")]
    assert "divergence" in names and "eval rows" not in names and "perplexity" not in names


def test_what_no_other_program_reads_by_itself_takes_its_words_from_the_base() -> None:
    checks = {check.name: check for check in judge(changed(others=None), "gguf", "lora")}
    assert verdict(list(checks.values())) == PASS and "base model" in checks["bos"].message
    assert "snippets" not in checks and "vocabulary" not in checks


def test_a_row_of_the_table_says_how_much_was_compared() -> None:
    row = tell(changed(kl=0.01), Result("x", "gguf", "q8_0", 1, PASS))
    assert (row.prompts, row.tokens, row.rows, row.row_tokens) == (20, 400, 30, 900)
    assert (row.kl, row.row_kl, row.perplexity, row.carried) == (0.01, 0.0, 3.0, 1.0)
    assert row.prompts_equal is True and row.stops_equal is True
    assert tell(changed(**others(prompts_equal=1)), row).prompts_equal is False


def test_held_out_rows_that_can_not_be_had_are_a_warning_and_no_run_is_none() -> None:
    checks = judge(changed(rows=None, rows_missing="The data is gone."), "gguf", "f16")
    (found,) = [check for check in checks if check.name == "rows"]
    assert found.verdict == WARN and "The data is gone." in found.message
    assert not [c for c in judge(changed(rows=None), "gguf", "f16") if c.name == "rows"]
