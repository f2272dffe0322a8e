"""Judging an export: is it what was trained? Pass, warn or fail, with a sentence and a way out.

Numbers come from measure.py, what they may be from bounds.py.
"""

from __future__ import annotations

import math

from exporters.contract import EXACT
from exporters.parity.bounds import BF16, Bounds, bounds_of
from exporters.parity.measured import EvalRows, Measured, Others, Weights
from exporters.results import FAIL, PASS, WARN, Check, Result

ORDER = (PASS, WARN, FAIL)
SAME_NAMES = (  # of a Result and of what was measured
    "agreement",
    "common_prefix",
    "identical",
    "parted",
    "kl",
    "max_delta_log_p",
    "carried",
    "prompts",
    "tokens",
    "tokens_per_s",
    "threads",
)
CARRIED = (0.25, 0.5)  # how far from 1 the carried share of the tuning may be; at 0.5 its half
ANOTHER = 1.0  # share of a tensor's size that no wrong scale takes it off
FAINT = 0.02  # nats: a tuning that changed less can't be told from rounding
NOISE = 0.5  # of the tuning's effect: what is lost besides is as loud as it then
# Share of texts that other programs may split in another way before it is a fail. Odd ones are
# chosen to be: llama.cpp and onnxruntime-genai compose no accents (NFC), as Qwen's and SmolLM's
# tokenizers do, and differ in 3 to 4 % of them alone
FEW_ODD, FEW_SINGLE = 0.06, 0.02
FEW_TOKENS = 100  # of rows; the perplexity of fewer says little
NOT_TRAINED = "The export is not what was trained: export again, and report it if it stays."


def tell(measured: Measured, result: Result) -> Result:
    """Writes what was measured into a row of the parity table."""
    for name in SAME_NAMES:
        setattr(result, name, getattr(measured, name))
    result.prompts_equal, result.stops_equal = measured.prompts_alike, measured.stops_alike
    result.tuning_kl = measured.effect
    if (others := measured.others) is not None:
        result.snippets, result.snippets_equal = others.snippets, others.snippets_equal
        result.singles, result.singles_equal = others.singles, others.singles_equal
    if (read := measured.rows) is not None:
        result.rows, result.row_tokens, result.row_kl = read.rows, read.tokens, read.kl
        result.perplexity, result.perplexity_tuned = read.perplexity, read.perplexity_tuned
    return result


def verdict(checks: list[Check]) -> str:
    """The worst of all."""
    return max((check.verdict for check in checks), key=ORDER.index, default=PASS)


def judge(measured: Measured, kind: str, type_name: str) -> list[Check]:
    """Every check of an export of a type."""
    bounds = bounds_of(kind, type_name)
    rough = measured.reference != EXACT
    if rough:
        bounds = bounds.widened(BF16)
    checks = [
        _prompts(measured),
        *_others(measured.others),
        _stop_ids(measured),
        _stopping(measured),
        _agreement(measured, bounds),
        _divergence(measured, bounds),
    ]
    if bounds.delta is not None:
        checks.append(_delta(measured, bounds.delta))
    if measured.rows is not None:
        checks += [_rows(measured.rows, bounds), _perplexity(measured.rows, bounds)]
    elif measured.rows_missing:
        checks.append(_no_rows(measured))
    checks.append(_tuning(measured))
    if measured.weights is not None:
        checks.append(_weights(measured.weights))
    return [*checks, *([_rough(measured)] if rough else [])]


def _prompts(m: Measured) -> Check:
    if m.prompts_equal == m.prompts:
        return Check("prompts", PASS, f"{m.prompts} of {m.prompts} prompts have the same tokens.")
    return Check(
        "prompts",
        FAIL,
        f"{m.prompts - m.prompts_equal} of {m.prompts} prompts have other tokens than in training, "
        f'first "{m.different_prompt}".',
        "The export's chat template is not the tuned model's: export again with the run's.",
    )


def _others(others: Others | None) -> list[Check]:
    if others is None:
        return [Check("bos", PASS, "Programs take prompts from the base model it is laid over.")]
    return [_fed(others), _snippets(others), _singles(others)]


def _fed(m: Others) -> Check:
    if m.prompts_equal == m.prompts:
        return Check(
            "bos",
            PASS,
            f"Other programs feed the same tokens for {m.prompts} of {m.prompts} prompts, with no "
            "second BOS.",
        )
    if m.doubled_bos:
        return Check(
            "bos",
            FAIL,
            f"Other programs put a BOS token before {m.doubled_bos} of {m.prompts} prompts that "
            "training didn't have.",
            "Export again, so that the tokenizer's own settings add no BOS.",
        )
    return Check(
        "bos",
        FAIL,
        f"Other programs feed other tokens for {m.prompts - m.prompts_equal} of {m.prompts} "
        f'prompts, first "{m.different_prompt}".',
        "The chat template in the export renders differently there: simplify it and export again.",
    )


def _snippets(m: Others) -> Check:
    lost = m.snippets - m.snippets_equal
    if not lost:
        return Check("snippets", PASS, f"{m.snippets} of {m.snippets} odd texts have equal tokens.")
    return Check(
        "snippets",
        WARN if lost <= FEW_ODD * m.snippets else FAIL,
        f"{lost} of {m.snippets} odd texts have other tokens in other programs, first "
        f'"{m.different_snippet}".',
        "Other programs split such text differently: expect weaker answers to it.",
    )


def _singles(m: Others) -> Check:
    if m.swapped:
        return Check(
            "vocabulary",
            FAIL,
            f"{m.swapped:,} of {m.singles:,} tokens stand for other texts in the export, first "
            f'"{m.first_swapped}".',
            "Its tokenizer is not the tuned model's: export again with the one from training.",
        )
    lost = m.singles - m.singles_equal
    if not lost:
        return Check("vocabulary", PASS, f"All {m.singles:,} texts of one token are that token.")
    return Check(
        "vocabulary",
        WARN if lost <= FEW_SINGLE * m.singles else FAIL,
        f"{lost:,} of {m.singles:,} texts of one token are split in other programs.",
        "Other programs split such text differently: expect weaker answers to it.",
    )


def _stop_ids(m: Measured) -> Check:
    if m.stop_ids_missing:
        return Check(
            "stop tokens",
            FAIL,
            f"Token {m.stop_ids_missing[0]} ends answers in training and doesn't stop the export.",
            "It will talk on after its answer: put the token into eos_token_id of the base's "
            "generation_config.json, and export again.",
        )
    if m.stops_inside:
        return Check(
            "stop tokens",
            FAIL,
            f"Token {m.stops_inside[0]} stands inside the tuned model's answers, and the export "
            "stops at it.",
            "Rename the token in the tokenizer; other programs know its name as a stop token.",
        )
    return Check("stop tokens", PASS, "Every stop token of the tuned model stops the export.")


def _stopping(m: Measured) -> Check:
    if not m.stopped:
        return Check("stopping", PASS, "No answer of the tuned model ended in time to compare.")
    share = m.stopped_here / m.stopped
    message = f"{m.stopped_here} of {m.stopped} answers that should end by themselves did."
    if share >= 0.9:
        return Check("stopping", PASS, message)
    return Check(
        "stopping",
        WARN if share >= 0.5 else FAIL,
        message,
        "Choose a type with more bits.",
    )


def _agreement(m: Measured, bounds: Bounds) -> Check:
    message = (
        f"Greedy answers agree over {m.agreement:.0%} of their length, {m.common_prefix:.1f} "
        f"tokens; {m.parted} of {m.prompts} part where the tuned model was sure."
    )
    return _bounded("agreement", message, m.parted / max(m.prompts, 1), bounds.parted)


def _divergence(m: Measured, bounds: Bounds) -> Check:
    message = (
        f"KL against the tuned model is {m.kl:.4f} nats a token over {m.tokens:,} tokens of its "
        "answers."
    )
    return _bounded("divergence", message, m.kl, bounds.kl)


def _delta(m: Measured, bounds: tuple[float, float]) -> Check:
    message = f"The log p of a token is off by {m.max_delta_log_p:.4f} at most."
    return _bounded("log p", message, m.max_delta_log_p, bounds)


def _rows(rows: EvalRows, bounds: Bounds) -> Check:
    message = (
        f"KL is {rows.kl:.4f} nats a token over {rows.tokens:,} supervised tokens of {rows.rows} "
        "rows."
    )
    return _bounded("eval rows", message, rows.kl, bounds.kl)


def _no_rows(m: Measured) -> Check:
    return Check(
        "rows",
        WARN,
        f"No held-out rows were compared: {m.rows_missing}",
        "The figures are those of the tuned model's own answers; bring the run's data back.",
    )


def _perplexity(rows: EvalRows, bounds: Bounds) -> Check:
    message = (
        f"Perplexity on these rows is {rows.perplexity:.3f}, that of the tuned model "
        f"{rows.perplexity_tuned:.3f}."
    )
    if rows.tokens < FEW_TOKENS:
        message = f"{message} That is {rows.tokens} tokens, too few to judge by."
        return Check("perplexity", PASS, message)
    lost = math.log(rows.perplexity / rows.perplexity_tuned)
    return _bounded("perplexity", message, lost, bounds.kl)


def _tuning(m: Measured) -> Check:
    """Whether the tuning is still there: the untuned model is the other end of the scale."""
    if m.effect is None or m.carried is None:
        return Check("tuning", PASS, "There is no untuned model to compare with.")
    moved = f"The tuning moved the model by {m.effect:.3f} nats a token"
    if m.effect < FAINT:
        return Check("tuning", PASS, f"{moved}, which is too little to look for in the export.")
    share = round(m.carried, 2) + 0.0  # no "-0%"
    message = f"{moved}; the export goes {share:.0%} of that way."
    state = _above(abs(m.carried - 1), CARRIED)
    if state == FAIL:
        return Check("tuning", FAIL, message, _lost(m.carried))
    lost = m.kl / m.effect
    if lost > NOISE:
        message = f"{message} What it loses besides is {lost:.0%} as much."
        state = WARN
    hint = "Choose a type with more bits, or train longer." if state != PASS else ""
    return Check("tuning", state, message, hint)


def _weights(w: Weights) -> Check:
    """An adapter that is missing or too strong puts tensors off too: it is named first."""
    carried = 1.0 if w.carried is None else w.carried
    state = _above(abs(carried - 1), CARRIED)
    if w.off and (w.largest_error >= ANOTHER or state != FAIL):
        return Check(
            "weights",
            FAIL,
            f"{w.off} of {w.tensors} tensors are not the tuned model's, first "
            f'"{w.first_off}", which is off by {w.first_error:.0%} of its size.',
            NOT_TRAINED,
        )
    message = f"Some rows of each of {w.tensors} tensors were compared with the tuned model's."
    if w.carried is None:
        return Check("weights", PASS, message)
    message = f"{message} {round(carried, 2) + 0.0:.0%} of what training changed is in them."
    return Check("weights", state, message, "" if state == PASS else _lost(carried))


def _rough(m: Measured) -> Check:
    return Check(
        "reference",
        WARN,
        f"The tuned model was asked in {m.reference}: the memory is too small for {EXACT}.",
        "Small losses can't be seen so; export on a larger machine to look closer.",
    )


def _lost(share: float) -> str:
    if share < 1:
        return "The adapter is missing or too weak in it: export again, or choose more bits."
    return "The adapter is too strong in it: its scale is wrong. Export again."


def _bounded(name: str, message: str, lost: float, bounds: tuple[float, float]) -> Check:
    """A loss that more bits make smaller."""
    hints = {
        PASS: "",
        WARN: "Try your own questions on it, or choose a type with more bits.",
        FAIL: NOT_TRAINED,
    }
    state = _above(lost, bounds)
    return Check(name, state, message, hints[state])


def _above(value: float, bounds: tuple[float, float]) -> str:
    return PASS if value <= bounds[0] else WARN if value <= bounds[1] else FAIL
