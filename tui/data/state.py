"""What the Data pane knows of the open file as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FileState:
    """One open file, from its first bytes to the last of its tokens; replaced by the next open."""

    name: str = ""  # for the frame's title
    reading: float | None = 0.0  # share of the file that is indexed, None when nothing is read
    whole: bool = False  # whether all rows are found
    trouble: str = ""  # why the file can't be read, or its rows not be encoded
    gone: bool = False  # a file of it is no longer there; what is open can still be read
    restarted: bool = False  # the worker has ended once and was started again
    pending: str = ""  # edits and drops that are not written yet, in words
    opened: dict[str, Any] = field(default_factory=dict)  # the worker's answer to `open`
    survey: dict[str, Any] = field(default_factory=dict)  # its newest answer to `survey`
    surveyed: bool = False  # whether that is the last one
    unsurveyed: str = ""  # why there is no survey

    @property
    def stats(self) -> dict[str, Any]:
        """The statistics of tokens so far; empty without any."""
        return self.survey.get("stats") or {}

    @property
    def counts(self) -> dict[str, int]:
        """Check -> how many rows."""
        return self.survey.get("counts") or {}

    def forget_tokens(self) -> None:
        """Other settings: what was found of the rows is void."""
        self.trouble = self.unsurveyed = ""
        self.opened, self.survey = {}, {}
        self.surveyed = False

    def progress(self) -> str:
        """What is going on, in a few words; empty when all is known."""
        if self.reading is not None:
            return f"reading {self.reading:.0%}" if self.reading else "opening"
        if not self.opened:
            return "" if self.trouble else "loading the tokenizer"
        if self.surveyed or self.unsurveyed:
            return ""
        return _survey_words(self.survey)


def _survey_words(survey: dict[str, Any]) -> str:
    if not survey:
        return "checking"
    share = f"{survey['done'] * 100 // max(1, survey['total'])}%"
    if survey["phase"] == "form":
        return f"checked {share}"
    if survey["phase"] == "near":
        return f"near duplicates {share}"
    rate = survey.get("rows_per_s") or 0
    return f"tokens {share}" + (f", {rate:,.0f} rows/s" if rate else "")
