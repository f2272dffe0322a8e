"""What the checks mean, in a sentence each: for the list of what was found in a file."""

from __future__ import annotations

from typing import NamedTuple

ERROR, WARNING, NOTE = "error", "warning", "note"


class Check(NamedTuple):
    """A check as `docs` has it."""

    severity: str
    meaning: str


CHECKS = {
    "invalid_json": Check(ERROR, "The line is not JSON."),
    "not_an_object": Check(ERROR, "The line is JSON, but no object."),
    "bad_encoding": Check(ERROR, "The line is not UTF-8."),
    "row_too_long": Check(ERROR, "The row is far larger than a row can be."),
    "file_changed": Check(ERROR, "The row is no longer where it was in the file."),
    "missing_messages": Check(ERROR, "The row has no list of messages."),
    "message_missing_key": Check(ERROR, "A message lacks its role or its content."),
    "unrecognized_key": Check(ERROR, "A message has a key that is not known."),
    "unrecognized_role": Check(ERROR, "A message has a role that is not known."),
    "missing_content": Check(ERROR, "There is no content where there has to be some."),
    "no_assistant_message": Check(ERROR, "Nobody answers, so nothing is learned."),
    "last_turn_not_assistant": Check(WARNING, "The last message is not an answer."),
    "consecutive_same_role": Check(WARNING, "Two messages of the same role in a row."),
    "empty_content": Check(WARNING, "A message is empty."),
    "non_string_content": Check(ERROR, "The content is not text."),
    "bad_tool_call": Check(ERROR, "A tool call can't be read."),
    "unknown_tool": Check(ERROR, "A call of a tool that is not declared."),
    "tool_result_without_call": Check(ERROR, "A tool's result that nobody asked for."),
    "wrong_type_label": Check(ERROR, "A label of another type than most."),
    "label_not_seen_in_train": Check(ERROR, "A label of the evaluation that training lacks."),
    "class_imbalance": Check(WARNING, "Few rows have this label."),
    "identical_pair": Check(ERROR, "Chosen and rejected are the same."),
    "empty_side": Check(ERROR, "An answer of the pair is empty."),
    "prompt_mismatch": Check(ERROR, "The two answers have different prompts."),
    "zero_supervised_tokens": Check(ERROR, "No token is left to learn from."),
    "truncated": Check(WARNING, "Tokens beyond max_length are cut."),
    "prompt_fills_max_length": Check(WARNING, "The prompt leaves no room for the answer."),
    "no_stop_token_learned": Check(WARNING, "The answer's end is not learned."),
    "template_rewrites_history": Check(WARNING, "The template changes earlier turns."),
    "template_error": Check(ERROR, "The chat template refuses the row."),
    "special_token_in_content": Check(WARNING, "A content holds a special token."),
    "system_not_rendered": Check(WARNING, "The template leaves out the system message."),
    "content_not_rendered": Check(WARNING, "The template leaves out a message's text."),
    "thinking_not_rendered": Check(WARNING, "The template leaves out thinking."),
    "tools_not_rendered": Check(WARNING, "The template leaves out the tools."),
    "tool_calls_not_rendered": Check(ERROR, "The template leaves out tool calls."),
    "id_out_of_vocabulary": Check(ERROR, "A token id that the model doesn't have."),
    "pair_not_separated": Check(NOTE, "Nothing stands between the two texts."),
    "exact_duplicate": Check(WARNING, "The row says what an earlier one says."),
    "near_duplicate": Check(WARNING, "The row says nearly what an earlier one says."),
    "train_eval_leak": Check(WARNING, "The evaluation has the row too."),
    "control_characters": Check(NOTE, "Escape codes or other control characters."),
    "mixed_languages": Check(NOTE, "A script that few rows are written in."),
    "extreme_length": Check(NOTE, "Far longer than nearly all rows."),
    "too_few_examples": Check(WARNING, "Under 10 rows: too few to learn from."),
}
OTHER = Check(WARNING, "Its rows say what it is.")


def check_of(name: str) -> Check:
    """What is known of a check."""
    return CHECKS.get(name, OTHER)
