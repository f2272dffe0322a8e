"""The plan of the configuration in the form, made in a thread: files and drivers are asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

from core.config import Config
from core.errors import AfinaError
from core.figures import size
from tui.data_facts import DataFacts
from tui.poller import Poller

if TYPE_CHECKING:
    from core.plan.plan import Plan


IDLE_S = 3600.0  # whoever asks wakes the thread
TOLD_TYPES = ("f16", "q4_k_m")  # the largest of what is exported, and the usual one


class Note(NamedTuple):
    """A line of the plan that isn't about the run itself: "export", what, and whether it warns."""

    label: str
    words: str
    aside: str = ""
    warns: bool = False


class PlanMade(Message):
    """The plan of a configuration, or why there is none."""

    def __init__(
        self, config: Config, plan: Plan | None, reason: str, notes: tuple[Note, ...] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self.plan = plan
        self.reason = reason
        self.notes = notes

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PlanMade)


class PlanPoller(Poller):
    """Makes one plan at a time; of the configurations asked for meanwhile only the last."""

    def __init__(self, home: Path, post: Callable[[Message], object]) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._wanted: tuple[Config, DataFacts | None] | None = None
        super().__init__("plan", self._answer, post)

    def ask(self, config: Config, facts: DataFacts | None) -> None:
        with self._lock:
            self._wanted = (config, facts)
        self.start()

    def _answer(self) -> float:
        with self._lock:
            wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._post(self._make(*wanted))
        return IDLE_S

    def _make(self, config: Config, facts: DataFacts | None) -> PlanMade:
        from core.plan.plan import make_plan

        try:
            plan = make_plan(self._home, config, facts.for_plan(config) if facts else None)
        except AfinaError as error:
            return PlanMade(config, None, str(error))
        except OSError as error:
            return PlanMade(config, None, f"The model's files can't be read: {error.strerror}.")
        return PlanMade(config, plan, "", (export_note(self._home, config, plan),))


def export_note(home: Path, config: Config, plan: Plan) -> Note:
    """Whether what is learned can be exported, as the exporters say, and how large it gets."""
    from core.hub import model_folder
    from core.runs.continue_from import resolve_config
    from exporters.support import refusal

    real = resolve_config(home, config)
    if real.method.kind == "prompt":
        return Note("export", "not to GGUF", "a learned prompt changes no weight", warns=True)
    folder = model_folder(real.model.name_or_path, real.model.revision)
    if reason := refusal(folder):
        return Note("export", "not to GGUF", str(reason), warns=True)
    sizes = [f"{name} {size(plan.export_bytes[name])}" for name in TOLD_TYPES]
    return Note("export", "gguf", ", ".join(sizes))
