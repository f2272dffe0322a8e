"""What a sample says, as plain text: for keys, scripts, languages, shingles and filters."""

from __future__ import annotations

from core.data.sample import (
    Conversation,
    Label,
    Labelled,
    Preference,
    Text,
    Tokens,
    UnpairedPreference,
)

AnySample = Conversation | Text | Preference | UnpairedPreference | Labelled | Tokens


def conversation_of(sample: AnySample | None) -> Conversation | None:
    """The turns of a sample: of a pair of answers, those with the chosen one."""
    if isinstance(sample, Conversation):
        return sample
    if isinstance(sample, Preference):
        return sample.chosen
    return sample.answer if isinstance(sample, UnpairedPreference) else None


def turns_of(sample: AnySample | None) -> int:
    """How many messages a sample has; a text is one."""
    turns = conversation_of(sample)
    if turns is not None:
        return len(turns.messages)
    return int(sample is not None)


def texts_of(sample: AnySample | None) -> list[tuple[str, str]]:
    """(role, text) of all that a sample says; the rejected answer of a pair last."""
    turns = conversation_of(sample)
    if turns is not None:
        said = [(message["role"], message.get("content") or "") for message in turns.messages]
        if isinstance(sample, Preference):
            rejected = sample.rejected.messages
            said += [
                ("rejected", message.get("content") or "")
                for message in rejected[_shared(turns, sample.rejected) :]
            ]
        return said
    if isinstance(sample, Text):
        return [("text", sample.text)]
    if isinstance(sample, Labelled):
        return [("text", sample.text), *([("pair", sample.pair)] if sample.pair else [])]
    return []


def text_of(sample: AnySample | None) -> str:
    """All that a sample says, a line break between its parts."""
    return "\n".join(text for _, text in texts_of(sample))


def label_of(sample: AnySample | None) -> Label | None:
    """The class of a row to classify, or whether an answer is wanted."""
    if isinstance(sample, Labelled):
        return sample.label
    return sample.good if isinstance(sample, UnpairedPreference) else None


def _shared(chosen: Conversation, rejected: Conversation) -> int:
    """How many messages both sides of a pair begin with."""
    pairs = zip(chosen.messages, rejected.messages, strict=False)
    return next(
        (place for place, (a, b) in enumerate(pairs) if a != b),
        min(len(chosen.messages), len(rejected.messages)),
    )
