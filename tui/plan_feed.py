"""The plan of the configuration in the form, made in a thread: files and drivers are asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from core.config import Config
from core.errors import AfinaError
from tui.data_facts import DataFacts

if TYPE_CHECKING:
    from core.plan.plan import Plan


class PlanMade(Message):
    """The plan of a configuration, or why there is none."""

    def __init__(self, config: Config, plan: Plan | None, reason: str) -> None:
        super().__init__()
        self.config = config
        self.plan = plan
        self.reason = reason

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PlanMade)


class PlanFeed:
    """Makes one plan at a time; of the configurations asked for meanwhile only the last."""

    def __init__(self, home: Path, post: Callable[[PlanMade], object]) -> None:
        self._home = home
        self._post = post
        self._lock = threading.Lock()
        self._wanted: tuple[Config, DataFacts | None] | None = None
        self._busy = False

    def ask(self, config: Config, facts: DataFacts | None) -> None:
        with self._lock:
            self._wanted = (config, facts)
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._work, name="plan", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._wanted is None:
                    self._busy = False
                    return
                (config, facts), self._wanted = self._wanted, None
            self._post(self._make(config, facts))

    def _make(self, config: Config, facts: DataFacts | None) -> PlanMade:
        from core.plan.plan import make_plan

        try:
            plan = make_plan(self._home, config, facts.for_plan(config) if facts else None)
        except AfinaError as error:
            return PlanMade(config, None, str(error))
        except OSError as error:
            return PlanMade(config, None, f"The model's files can't be read: {error.strerror}.")
        return PlanMade(config, plan, "")
