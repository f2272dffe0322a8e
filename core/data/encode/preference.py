"""The two answers of a preference, as one encoding."""

from __future__ import annotations

import msgspec

from core.data.encode.encoding import Encoding
from core.data.problems import WARNING, RowProblem, problem


def join_sides(chosen: Encoding, rejected: Encoding) -> Encoding:
    """The chosen side with the rejected one, and the problems of both, each named by its side."""
    chosen.problems = [_sided(item, "chosen") for item in chosen.problems]
    rejected.problems = [_sided(item, "rejected") for item in rejected.problems]
    chosen.rejected = rejected
    chosen.problems = chosen.problems + rejected.problems
    if mismatch := _prompt_mismatch(chosen, rejected):
        chosen.problems.append(mismatch)
    return chosen


def _sided(item: RowProblem, side: str) -> RowProblem:
    field = f"{side}.{item.field}" if item.field else side
    return msgspec.structs.replace(item, field=field)


def _prompt_mismatch(chosen: Encoding, rejected: Encoding) -> RowProblem | None:
    """Prompts of different tokens: a token that reaches from the prompt into one of the answers."""
    if not (True in chosen.supervised and True in rejected.supervised):
        return None
    ends = [side.supervised.index(True) for side in (chosen, rejected)]
    prompts = [side.ids[:end] for side, end in zip((chosen, rejected), ends, strict=True)]
    if prompts[0] == prompts[1]:
        return None
    pairs = enumerate(zip(*prompts, strict=False))
    at = next((index for index, (a, b) in pairs if a != b), min(ends))
    return problem(
        "prompt_mismatch",
        "chosen",
        f"prompts that differ from token {at} on",
        "the same tokens before both answers",
        "Let the prompt end where no token reaches over, such as behind a line break.",
        WARNING,
        at,
    )
