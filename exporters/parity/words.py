"""What tokens an export makes of texts, beside the tuned model's: in chat and in other programs."""

from __future__ import annotations

from core.data.escape import visible
from exporters.contract import Seen
from exporters.parity.measured import Others
from exporters.parity.reference import Reference

SHOWN = 80  # characters of a text, in a sentence


def read_by_others(reference: Reference, seen: Seen) -> Others:
    """What other programs make of prompts, odd texts and single tokens."""
    count = len(reference.snippets)
    snippets, singles = seen.ids[:count], seen.ids[count:]
    own = reference.single_ids
    swapped = [
        text
        for text, ours, theirs in zip(reference.singles, own, singles, strict=True)
        if len(theirs) == len(ours) and ours != theirs
    ]
    asked = [str(each["messages"][-1].get("content")) for each in reference.conversations]
    return Others(
        prompts=len(reference.prompts),
        prompts_equal=equal(reference.prompts, seen.prompts),
        doubled_bos=equal(reference.prompts, [prompt[1:] for prompt in seen.prompts]),
        different_prompt=first_different(asked, reference.prompts, seen.prompts),
        snippets=count,
        snippets_equal=equal(reference.snippet_ids, snippets),
        different_snippet=first_different(reference.snippets, reference.snippet_ids, snippets),
        singles=len(own),
        singles_equal=equal(own, singles),
        swapped=len(swapped),
        first_swapped=shown(swapped[0]) if swapped else "",
    )


def equal(ours: list[list[int]], theirs: list[list[int]]) -> int:
    return sum(a == b for a, b in zip(ours, theirs, strict=True))


def first_different(texts: list[str], ours: list[list[int]], theirs: list[list[int]]) -> str:
    different = (t for t, a, b in zip(texts, ours, theirs, strict=True) if a != b)
    return shown(next(different, ""))


def shown(text: str) -> str:
    """The start of a text as one line of a sentence."""
    return visible(text[:SHOWN], newlines=False, tabs=False)
