"""The group data: which rows, and how they become tokens."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.config.option import Weight, option


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training data and how it is read."""

    path: Annotated[
        str,
        option(
            "The training rows: a file, a folder, a pattern such as data/*.jsonl, a saved dataset, "
            "or a hub id where there is a network."
        ),
    ] = ""
    mix: Annotated[
        dict[str, Weight],
        option(
            "Further files, and how often each of their rows is seen in an epoch: 2 is twice, 0.5 "
            "a seeded half (with streaming another half in the next epoch, else the same).",
        ),
    ] = {}
    eval_path: Annotated[
        str | None,
        option("The evaluation rows, named as path is; without it eval_fraction is split off."),
    ] = None
    eval_fraction: Annotated[
        float,
        option(
            "Share of the rows held out for evaluation; duplicates stay on one side.",
            source="hosted services advise 10 to 20 %",
            ge=0.0,
            le=0.5,
        ),
    ] = 0.1
    max_length: Annotated[
        int,
        option("Longest row that reaches the model; the rest is cut.", unit="tokens", ge=8),
    ] = 512
    format: Annotated[
        Literal[
            "auto",
            "chat",
            "sharegpt",
            "alpaca",
            "prompt_completion",
            "template",
            "text",
            "pretokenised",
            "preference",
            "kto",
            "classification",
        ],
        option("Shape of the rows; auto looks at 200 rows spread over the file."),
    ] = "auto"
    chat_template: Annotated[
        str | None,
        option("Used instead of the model's own: a Jinja file, or chatml, llama3 or alpaca."),
    ] = None
    prompt_template: Annotated[
        str | None,
        option(
            "Text made of the rows' columns, such as {question}; the last one is what is learned."
        ),
    ] = None
    streaming: Annotated[
        bool,
        option(
            "Read and encode the rows while the run goes on, instead of all of them before it: for "
            "files that are larger than memory. At most 2,000 rows are held out then."
        ),
    ] = False
