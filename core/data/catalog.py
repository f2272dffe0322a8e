"""Every check by its name: how bad it is and what it means, for the list of checks and the docs.

What was found in a row, and how to mend it, is said by the problem itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from core.data.problems import ERROR, NOTE, WARNING
from core.errors import AfinaError, nearest


class Check(msgspec.Struct, frozen=True):
    """`severities`: worst first; more than one where it depends on the row."""

    severities: tuple[str, ...]
    meaning: str

    @property
    def severity(self) -> str:
        return self.severities[0]


def _error(meaning: str, *milder: str) -> Check:
    return Check((ERROR, *milder), meaning)


def _warning(meaning: str) -> Check:
    return Check((WARNING,), meaning)


def _note(meaning: str) -> Check:
    return Check((NOTE,), meaning)


FILES, TOKENS, COMPARED = "Whole files", "Tokens (these need a model)", "All rows together"

GROUPS: dict[str, dict[str, Check]] = {
    FILES: {
        "skipped_file": _note("A file of the folder is not read as data."),
        "truncated_file": _error("The file ends in the middle."),
        "damaged_file": _error("A part of the file can't be read."),
        "empty_column_name": _warning("A column has no name in the header."),
        "duplicate_column_name": _warning("Two columns have one name in the header."),
    },
    "Lines and cells": {
        "invalid_json": _error("The line is not JSON."),
        "not_an_object": _error("The line is JSON, but neither an object nor a list of messages."),
        "bad_encoding": _error("The line is not UTF-8."),
        "row_too_long": _error("The row is far larger than a row can be, and is not read."),
        "duplicate_key": _warning("A key stands twice in one object; the last one is used."),
        "invalid_csv": _error("A quote of the table is not closed."),
        "wrong_column_count": _error("The row has more or fewer columns than the header."),
        "binary_value": _warning("A value that is neither text nor a number is read as null."),
        "unreadable_row": _error("The row of the table can't be read."),
        "file_changed": _error("The row is no longer where it was in the file."),
    },
    "Conversations": {
        "missing_messages": _error("The row has no list of messages."),
        "message_missing_key": _error("A message lacks its role or its content."),
        "unrecognized_key": _error("A key that nobody reads.", WARNING),
        "unrecognized_role": _error("A message has a role that is not known."),
        "missing_content": _error("There is no content where there has to be some.", WARNING),
        "non_string_content": _error("The content is not text."),
        "empty_content": _error("There is a text, and nothing in it.", WARNING),
        "unsupported_media": _error("The row has an image, audio or video: only text is trained."),
        "no_assistant_message": _error("Nobody answers, so nothing is learned."),
        "last_turn_not_assistant": _warning("The last message is not an answer."),
        "consecutive_same_role": _warning("Two messages of the same role in a row."),
        "bad_weight": _warning("The weight of a message is neither 0 nor 1."),
        "bad_tool_call": _error("A tool call or a list of tools can't be read."),
        "unknown_tool": _error("A call of a tool that is not declared."),
        "tool_result_without_call": _error("A tool's result that nobody asked for."),
        "control_characters": _note("Escape codes or other control characters."),
    },
    "Other shapes": {
        "missing_template": _error("The shape needs a prompt template, and there is none."),
        "unknown_column": _error("The prompt template names a column that the row lacks."),
        "bad_token_ids": _error("The row's token ids or their labels are no list of such."),
        "identical_pair": _error("Chosen and rejected are the same."),
        "empty_side": _error("An answer of the pair is empty."),
        "prompt_mismatch": _error("The two answers have different prompts.", WARNING),
        "wrong_type_label": _error("A label is missing, of the wrong kind, or not its token."),
    },
    TOKENS: {
        "zero_supervised_tokens": _error("No token is left to learn from."),
        "truncated": _warning("Tokens beyond max_length are cut."),
        "prompt_fills_max_length": _warning("The prompt leaves no room for the answer."),
        "no_stop_token_learned": _warning("The answer's end is not learned."),
        "special_token_in_content": _warning("A content holds a special token."),
        "id_out_of_vocabulary": _error("A token id that the model doesn't have."),
        "pair_not_separated": _note("Nothing stands between the two texts."),
        "template_error": _error("The chat template refuses the row."),
        "template_rewrites_history": _warning("The template changes earlier turns."),
        "system_not_rendered": _warning("The template leaves out the system message."),
        "content_not_rendered": _warning("The template leaves out a message's text."),
        "thinking_not_rendered": _warning("The template leaves out thinking."),
        "tools_not_rendered": _warning("The template leaves out the tools."),
        "tool_calls_not_rendered": _error("The template leaves out tool calls."),
    },
    COMPARED: {
        "label_not_seen_in_train": _error("A label of the evaluation that training lacks."),
        "class_imbalance": _warning("Few rows have this label."),
        "too_few_examples": _error("Under 10 rows: too few to learn from.", WARNING),
        "exact_duplicate": _warning("The row says what an earlier one says."),
        "near_duplicate": _warning("The row says nearly what an earlier one says."),
        "train_eval_leak": _warning("The evaluation has the row too."),
        "mixed_languages": _note("A script that few rows are written in."),
        "extreme_length": _note("Far longer than nearly all rows."),
    },
}
CHECKS = {name: check for group in GROUPS.values() for name, check in group.items()}


def require_checks_of_rows(names: Iterable[str], tokens: bool) -> None:
    """Raises AfinaError for a check that can't tell whether a row by itself is to be left out.

    tokens: whether rows are encoded, so that the checks on tokens are made.
    """
    for name in names:
        if name not in CHECKS:
            hint = nearest(name, CHECKS) or "`afina data check FILE` names those of its rows."
            raise AfinaError(f'There is no check "{name}".', hint)
        if name in GROUPS[FILES] or name in GROUPS[COMPARED]:
            raise AfinaError(
                f'"{name}" is not found in a row by itself, so no row is left out for it.',
                "Copies have fixes of their own: --dedupe and --dedupe-near.",
            )
        if name in GROUPS[TOKENS] and not tokens:
            raise AfinaError(f'"{name}" is a check on tokens, so it needs a model.', "Name one.")
