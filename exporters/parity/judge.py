"""Judging an export: is it what was trained? Pass, warn or fail, with a sentence and a way out.

Numbers come from measure.py. Bounds per type, with their sources:
- KL of quantized types: llama.cpp's tools/perplexity/README.md, "LLaMA 3 8b Scoreboard", mean KL
  without importance matrix: q8_0 0.0014, q6_K 0.0055, q5_K_M 0.011, q5_K_S 0.017, q4_K_M 0.031,
  q4_K_S 0.043, q4_0 0.072, q3_K_M 0.102, q2_K 0.445; iq4_NL and iq4_XS are there with a matrix only
  (0.036), and get the bounds of q4_K_S. Other
  models and texts differ: a pass is up to 3 times that, a fail beyond 15 times. Seen: the sample
  model of 5.8 M parameters loses between a seventh and a third of it.
- f32, f16, bf16: trials over ten families of random models, worst log p 0.001, 0.03 and 0.04 away;
  llama.cpp's f16 key-value cache alone makes 0.003.
- Greedy answers: one near tie sends the rest of an answer another way, so only answers count that
  part at a token which the tuned model finds e times less likely than its own.
"""

from __future__ import annotations

import msgspec

from exporters.job.results import FAIL, PASS, WARN, Check

ORDER = (PASS, WARN, FAIL)
LOST = 0.5  # of the tuning's effect; beyond it the export is nearer to the untuned model's side
FAINT = 0.02  # nats: a tuning that changed less can't be told from rounding
FEW_SNIPPETS = 0.02  # share of hostile snippets that may differ before it is a fail


class Bounds(msgspec.Struct, frozen=True):
    """What a type may lose."""

    kl: tuple[float, float]  # nats a token: beyond the first a warning, beyond the second a fail
    parted: tuple[float, float]  # share of the answers that part where the tuned model was sure
    delta: tuple[float, float] | None = None  # of log p of one token


BOUNDS = {
    "f32": Bounds((0.0005, 0.005), (0.0, 0.1), (0.01, 0.1)),
    "f16": Bounds((0.001, 0.01), (0.0, 0.1), (0.03, 0.3)),
    "bf16": Bounds((0.003, 0.03), (0.05, 0.25), (0.08, 0.8)),
    "q8_0": Bounds((0.0042, 0.021), (0.05, 0.25)),
    "q6_k": Bounds((0.017, 0.085), (0.1, 0.35)),
    "q5_k_m": Bounds((0.033, 0.17), (0.15, 0.45)),
    "q5_k_s": Bounds((0.05, 0.25), (0.2, 0.5)),
    "q4_k_m": Bounds((0.096, 0.48), (0.25, 0.6)),
    "q4_k_s": Bounds((0.13, 0.65), (0.3, 0.65)),
    "iq4_nl": Bounds((0.13, 0.65), (0.3, 0.65)),
    "iq4_xs": Bounds((0.13, 0.65), (0.3, 0.65)),
    "q4_0": Bounds((0.22, 1.1), (0.35, 0.75)),
    "q3_k_m": Bounds((0.31, 1.5), (0.4, 0.8)),
    "q2_k": Bounds((1.3, 6.7), (0.6, 0.95)),
}


class Measured(msgspec.Struct):
    """One export beside the tuned model: numbers, no opinion."""

    prompts: int  # questions that were asked
    prompts_equal: int  # whose ids are those of the tuned model's prompt
    fed_equal: int  # whose ids other programs would feed, BOS and all, are the same
    doubled_bos: int
    different_prompt: str  # the first question with another prompt
    snippets: int
    snippets_equal: int
    different_snippet: str
    stop_ids_missing: list[int]
    stops_inside: list[int]  # ids inside the tuned answers that would end them too early
    stopped: int  # answers of the tuned model that ended by themselves
    stopped_here: int  # of those, the export's; where it went another way, whether it would have
    agreement: float  # mean share of the answer that is the same from its start
    identical: float  # share of answers that are the same
    parted: int  # answers that go another way at a token where the tuned model was sure
    kl: float  # mean over tokens, nats
    max_delta_log_p: float  # largest over the answer's tokens
    effect: float | None  # KL of the untuned model
    tokens: int  # that were compared
    tokens_per_s: float | None
    threads: int


def verdict(checks: list[Check]) -> str:
    """The worst of all."""
    return max((check.verdict for check in checks), key=ORDER.index, default=PASS)


def judge(measured: Measured, type_name: str) -> list[Check]:
    """Every check of an export of a type."""
    bounds = BOUNDS[type_name]
    checks = [
        _prompts(measured),
        _bos(measured),
        _snippets(measured),
        _stop_ids(measured),
        _stopping(measured),
        _agreement(measured, bounds),
        _divergence(measured, bounds),
        _effect(measured),
    ]
    if bounds.delta is not None:
        checks.insert(-1, _delta(measured, bounds.delta))
    return checks


def _prompts(m: Measured) -> Check:
    if m.prompts_equal == m.prompts:
        return Check("prompts", PASS, f"{m.prompts} of {m.prompts} prompts have the same tokens.")
    return Check(
        "prompts",
        FAIL,
        f"{m.prompts - m.prompts_equal} of {m.prompts} prompts have other tokens than in training, "
        f'first "{m.different_prompt}".',
        "The file's chat template is not the tuned model's: export again with the run's template.",
    )


def _bos(m: Measured) -> Check:
    if m.fed_equal == m.prompts:
        return Check("bos", PASS, "Other programs feed the same tokens, with no second BOS.")
    if m.doubled_bos:
        return Check(
            "bos",
            FAIL,
            f"Other programs put a BOS token before {m.doubled_bos} of {m.prompts} prompts that "
            "training didn't have.",
            "Export again; tokenizer.ggml.add_bos_token must be false.",
        )
    return Check(
        "bos",
        FAIL,
        f"Other programs feed other tokens for {m.prompts - m.fed_equal} of {m.prompts} prompts.",
        "The chat template in the file renders differently there: simplify it and export again.",
    )


def _snippets(m: Measured) -> Check:
    lost = m.snippets - m.snippets_equal
    if not lost:
        return Check("snippets", PASS, f"{m.snippets} of {m.snippets} odd texts have equal tokens.")
    return Check(
        "snippets",
        WARN if lost <= FEW_SNIPPETS * m.snippets else FAIL,
        f"{lost} of {m.snippets} odd texts have other tokens in llama.cpp, first "
        f'"{m.different_snippet}".',
        "llama.cpp splits such text differently: expect weaker answers to it.",
    )


def _stop_ids(m: Measured) -> Check:
    if m.stop_ids_missing:
        return Check(
            "stop tokens",
            FAIL,
            f"Token {m.stop_ids_missing[0]} stops the tuned model and not the export.",
            "It will talk on after its answer: export again, with eos_token_id in "
            "generation_config.json.",
        )
    if m.stops_inside:
        return Check(
            "stop tokens",
            FAIL,
            f"Token {m.stops_inside[0]} stands inside the tuned model's answers, and llama.cpp "
            "stops at it.",
            "Rename the token in the tokenizer; llama.cpp knows its name as a stop token.",
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
        f"Greedy answers agree over {m.agreement:.0%} of their length; {m.parted} of {m.prompts} "
        "part where the tuned model was sure."
    )
    state = _above(m.parted / max(m.prompts, 1), bounds.parted)
    return Check("agreement", state, message, _more_bits(state))


def _divergence(m: Measured, bounds: Bounds) -> Check:
    message = f"KL against the tuned model is {m.kl:.4f} nats a token over {m.tokens} tokens."
    state = _above(m.kl, bounds.kl)
    return Check("divergence", state, message, _more_bits(state))


def _delta(m: Measured, bounds: tuple[float, float]) -> Check:
    message = f"The log p of a token is off by {m.max_delta_log_p:.4f} at most."
    state = _above(m.max_delta_log_p, bounds)
    return Check("log p", state, message, _more_bits(state))


def _effect(m: Measured) -> Check:
    """Whether the tuning is still there: the untuned model is the other end of the scale."""
    if m.effect is None:
        return Check("tuning", PASS, "There is no untuned model to compare with.")
    if m.effect < FAINT:
        return Check(
            "tuning",
            PASS,
            f"The tuning itself changed little: KL {m.effect:.4f} nats a token on these questions.",
        )
    lost = m.kl / m.effect
    message = (
        f"The tuning moved the model by {m.effect:.3f} nats a token; {lost:.0%} of it is lost."
    )
    state = PASS if lost <= LOST / 2 else WARN if lost <= LOST else FAIL
    hint = "Choose a type with more bits, or train longer." if state != PASS else ""
    return Check("tuning", state, message, hint)


def _above(value: float, bounds: tuple[float, float]) -> str:
    return PASS if value <= bounds[0] else WARN if value <= bounds[1] else FAIL


def _more_bits(state: str) -> str:
    if state == PASS:
        return ""
    if state == WARN:
        return "Try your own questions on it, or choose a type with more bits."
    return "The file is not what was trained: export again, and report it if it stays."
