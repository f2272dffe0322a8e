"""What an encoding teaches: tokens that are cut, nothing to learn, an answer that never ends."""

from __future__ import annotations

from collections.abc import Iterator

from core.data.encode.tokenizer import Tokenizer
from core.data.problems import ERROR, WARNING, RowProblem, problem


def learning_problems(
    ids: list[int], supervised: list[bool], limit: int, tokenizer: Tokenizer
) -> Iterator[RowProblem]:
    """The problems of a row's tokens, seen whole; `limit` is max_length in tokens.

    Each is at its token: the first that is cut, the last that is learned.
    """
    stops = tokenizer.stop_ids
    total, learned = len(ids), sum(supervised)
    kept = learned if total <= limit else sum(supervised[:limit])
    if learned and not kept:
        first = supervised.index(True)
        yield problem(
            "prompt_fills_max_length",
            "",
            f"{first} tokens before the answer",
            f"fewer than {limit}",
            "Raise max_length, or shorten the prompt.",
            WARNING,
            limit,
        )
    elif total > limit:
        lost = learned - kept
        yield problem(
            "truncated",
            "",
            f"{total} tokens; {total - limit} are cut, {lost} of them supervised",
            f"at most {limit}",
            f"Raise max_length to {total}, or shorten the row.",
            WARNING,
            limit,
        )
    if not kept:
        yield problem(
            "zero_supervised_tokens",
            "",
            f"no supervised token in {min(total, limit)}",
            "at least one",
            "Raise max_length." if learned else "Give the row an answer with weight 1, or drop it.",
            ERROR,
        )
    if learned:
        last = total - 1 - supervised[::-1].index(True)
        while last and ids[last] not in stops and not tokenizer.decode([ids[last]]).strip():
            last -= 1  # white space behind the stop token, under supervise=all
        if ids[last] not in stops:
            yield problem(
                "no_stop_token_learned",
                "",
                f"token {ids[last]} as the last supervised one",
                "one of the stop tokens "
                + (", ".join(map(str, sorted(stops))) or "(the model names none)"),
                "Let the chat template end answers with a token of eos_token_id.",
                WARNING,
                last,
            )


def cut_problem(total: int, limit: int) -> RowProblem:
    """A row of which no token is learned (a text with a class), and not all of it is seen."""
    return problem(
        "truncated",
        "",
        f"{total} tokens; {total - limit} are cut",
        f"at most {limit}",
        f"Raise max_length to {total}, or shorten the row.",
        WARNING,
        limit,
    )
