"""An export beside the tuned model in numbers: what measure.py finds and judge.py judges."""

from __future__ import annotations

import msgspec


class EvalRows(msgspec.Struct):
    """The export beside the tuned model at the supervised tokens of the rows of the evaluation."""

    rows: int
    tokens: int
    kl: float  # mean over tokens, nats
    perplexity: float
    perplexity_tuned: float


class Others(msgspec.Struct):
    """What other programs make of texts, reading the export."""

    prompts: int  # conversations that they rendered
    prompts_equal: int  # whose ids, as they would be fed, BOS and all, are those of training
    doubled_bos: int
    different_prompt: str
    snippets: int  # odd texts
    snippets_equal: int
    different_snippet: str
    singles: int  # texts of one token
    singles_equal: int
    swapped: int  # of the different ones, those that are another token there
    first_swapped: str


class Weights(msgspec.Struct):
    """What is in an export beside what should be, some rows of every tensor."""

    tensors: int
    off: int  # those that differ more than their bits explain
    first_off: str
    first_error: float  # share of the tensor's size
    largest_error: float
    carried: float | None  # how much of what training changed is there: 1 all, 0 none


class Measured(msgspec.Struct, kw_only=True):
    """One export beside the tuned model: numbers, no opinion."""

    prompts: int  # questions that were asked
    prompts_equal: int  # whose ids are those of the tuned model's prompt
    different_prompt: str = ""  # the first question with another prompt
    others: Others | None  # None: no other program reads the export by itself
    stop_ids_missing: list[int]
    stops_inside: list[int]  # ids inside the tuned answers that would end them too early
    stopped: int  # answers of the tuned model that ended by themselves
    stopped_here: int  # of those, the export's; where it went another way, whether it would have
    agreement: float  # mean share of the answer that is the same from its start
    common_prefix: float  # the same in tokens
    identical: float  # share of answers that are the same
    parted: int  # answers that go another way at a token where the tuned model was sure
    kl: float  # mean over the tokens of the tuned answers, nats
    max_delta_log_p: float  # largest over those tokens
    tokens: int
    rows: EvalRows | None  # None: the target has no rows
    rows_missing: str  # why a run gives none, a sentence
    weights: Weights | None  # None: they can't be read back
    effect: float | None  # KL of the untuned model
    carried: float | None  # how much of the tuning's way the export goes: 1 all, 0 none
    tokens_per_s: float | None
    threads: int
    reference: str  # number type that the tuned model was asked in

    @property
    def prompts_alike(self) -> bool:
        fed = self.others is None or self.others.prompts_equal == self.others.prompts
        return fed and self.prompts_equal == self.prompts

    @property
    def stops_alike(self) -> bool:
        return not self.stop_ids_missing and not self.stops_inside
