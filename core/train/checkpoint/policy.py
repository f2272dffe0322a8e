"""When a run saves its state, why, and what it does when the disk takes no more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from core.config import Config
from core.disk import reason_of
from core.runs.finding import Finding
from core.train.checkpoint import disk_space
from core.train.checkpoint import manifest as checkpoints
from core.train.checkpoint.manifest import Manifest
from core.train.checkpoint.progress import Progress
from core.train.control import Requests
from core.train.event_log import EventLog

MOST_FAILURES = 2  # in a row: then the run pauses


class CheckpointPolicy:
    """Decides before each checkpoint, and learns from what became of it."""

    def __init__(
        self, config: Config, progress: Progress, requests: Requests, telling: EventLog
    ) -> None:
        self.config = config.checkpoint
        self.progress = progress
        self.requests = requests
        self.telling = telling
        self.run = telling.worker.job.directory
        self.reason = ""  # why the next one is saved
        self.saved_step: int | None = None  # of this process
        self.trouble = ""  # why the run has to pause: no checkpoint can be saved
        self._failures = 0
        self._last = time.monotonic()

    def decide(self, step: int, last: bool, control: Any) -> None:
        """Asks for a checkpoint after this step, if one is due."""
        every = self.config.every_minutes
        waited_s = time.monotonic() - self._last
        if last:
            reason = "end"
        elif self.requests.wants("checkpoint"):
            reason = "request"
        elif step % self.config.every_steps == 0:
            reason = "interval"
        elif every is not None and waited_s >= every * 60:
            reason = "time"
        else:
            return
        self.ask(reason, control)

    def ask(self, reason: str, control: Any) -> None:
        self.reason = reason
        control.should_save = True

    def has_room(self, step: int) -> bool:
        """Whether the disk has room for one more; if not, this is what the run pauses for."""
        wanted = disk_space.needed(self.run)
        fits, finding = disk_space.make_room(self.run, wanted, self.progress.best_step)
        if finding is not None:
            self.telling.finding(finding, step)
        if not fits and finding is not None:
            self._give_up(finding.message.rstrip("."))
        return fits

    def saved(self, folder: Path, manifest: Manifest, seconds: float) -> None:
        """A checkpoint is complete."""
        self._last = time.monotonic()
        self._failures = 0
        self.saved_step = manifest.step
        self.telling.pace.pause(seconds)
        self.telling.saved(folder, manifest, seconds, self.reason)
        self.requests.answer("checkpoint", f"saved {folder.name}")
        self.requests.answer("stop", f"saved {folder.name}, stopped")
        self.requests.answer("pause", f"saved {folder.name}, paused")
        checkpoints.prune(self.run, self.config.keep, self.progress.best_step)

    def failed(self, step: int, error: OSError) -> None:
        """A checkpoint could not be written: the run goes on once, then pauses."""
        self._last = time.monotonic()
        self._failures += 1
        reason = reason_of(error)
        again = self._failures < MOST_FAILURES and self.reason not in ("stop", "pause")
        message = f"The checkpoint at step {step} could not be saved: {reason}"
        next_time = "The next one is tried as planned." if again else "The run ends here for now."
        self.telling.finding(
            Finding("error", f"{message}.", f"Free disk space. {next_time}"),
            step,
        )
        if again:
            self.requests.answer("checkpoint", f"not saved: {reason}")
        else:
            self._give_up(message)

    def _give_up(self, trouble: str) -> None:
        self.trouble = trouble
        for action in ("checkpoint", "stop", "pause"):
            self.requests.answer(action, f"not saved: {trouble}")
