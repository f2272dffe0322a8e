"""Two real steps of the configuration in the form, in a process of their own, as they go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from core.config import Config
from core.errors import AfinaError

if TYPE_CHECKING:
    from core.plan.probe import Probing
    from core.plan.probe_result import Point, Probe


class ProbeTold(Message):
    """The state of the probe that is at work, or that has ended."""

    def __init__(self, state: ProbeState) -> None:
        super().__init__()
        self.state = state


class ProbeState:
    """What is known of one probe; changed in the probe's thread, read by the screen."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.phase = "starting"
        self.points: list[Point] = []
        self.result: Probe | None = None
        self.failure = ""
        self.ended = False

    def take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "phase":
            self.phase = str(event["name"])
        elif kind == "point":
            self.points.append(event["point"])
        elif kind == "probe":
            self.result = event["result"]
        elif kind == "failure":
            self.failure = f"{event['message']} {event.get('hint') or ''}".strip()


class ProbeFeed:
    """Runs one probe at a time in a thread; posts a message at each thing that it tells."""

    def __init__(self, home: Path, post: Callable[[ProbeTold], object]) -> None:
        self._home = home
        self._post = post
        self._lock = threading.Lock()
        self._probing: Probing | None = None
        self._cancelled = False

    def start(self, config: Config) -> ProbeState:
        self._cancelled = False
        state = ProbeState(config)
        work = threading.Thread(target=self._work, args=(state,), name="probe", daemon=True)
        work.start()
        return state

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._probing is not None:
                self._probing.cancel()

    def _work(self, state: ProbeState) -> None:
        try:
            for event in self._begin(state.config):
                state.take(event)
                self._post(ProbeTold(state))
        except (AfinaError, OSError) as error:
            state.failure = str(error)
        with self._lock:
            self._probing = None
        state.ended = True
        self._post(ProbeTold(state))

    def _begin(self, config: Config) -> Any:
        from core.plan.probe import Probing

        with self._lock:
            if self._cancelled:
                return ()
            self._probing = Probing(config, self._home)
        return self._probing.events()
