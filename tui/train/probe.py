"""The Train pane's probe: started, watched, cancelled; and the ways to less memory it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import Config
from core.errors import FieldProblem
from tui.dialogs.question import Question
from tui.options import label_of, set_value, text_of
from tui.pane import Pane
from tui.train.dialogs.fixes import Fixes
from tui.train.probe_poller import ProbeFeed, ProbeState, ProbeTold

if TYPE_CHECKING:
    from core.plan.plan import Plan
    from core.plan.probe_result import Fix


class TrainProbe(Pane):
    """What the pane does with a probe."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.probe_state: ProbeState | None = None  # of the newest one

    def on_mount(self) -> None:
        self._probes = ProbeFeed(self.home, self.post_message)

    def on_unmount(self) -> None:
        self._probes.cancel()

    # of the pane that has the form

    @property
    def plan(self) -> Plan | None:
        raise AssertionError("a pane with a form has its plan")

    def problems(self) -> list[FieldProblem]:
        raise AssertionError("a pane with a form knows its problems")

    def draw(self) -> None:
        raise AssertionError("a pane with a form draws it")

    def change(self, config: Config) -> None:
        raise AssertionError("a pane with a form changes it")

    @property
    def probing(self) -> bool:
        """Whether a probe is at work."""
        return self.probe_state is not None and not self.probe_state.ended

    def fixes(self) -> list[Fix]:
        """What a probe of this very configuration advises."""
        probe = self.plan.probe if self.plan is not None else None
        return list(probe.fixes) if probe is not None else []

    def why_not_probe(self) -> str:
        if self.afina.readonly:
            return "The workbench was opened to look only (--readonly)."
        if self.probing:
            return "A probe is at work; esc cancels it."
        errors = [p for p in self.problems() if p.severity == "error"]
        return f"{errors[0].message} {errors[0].hint}" if errors else ""

    def action_probe(self) -> None:
        active = self.afina.activity
        if not active.run:
            self._start_probe()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._start_probe()

        words = f"{active.run} is at work and shares its device and memory with the probe."
        self.app.push_screen(Question("probe beside a run?", words), answered)

    def _start_probe(self) -> None:
        self.probe_state = self._probes.start(self.config)
        self.show_plan()
        self.draw()

    def show_plan(self) -> None:
        """Brings the plan in sight, where there is room for one frame only."""
        raise AssertionError("a pane with a plan shows it")

    def cancel_probe(self) -> None:
        self._probes.cancel()
        self.probe_state = None
        self.draw()
        self.afina.say("The probe was cancelled.")

    def on_probe_told(self, event: ProbeTold) -> None:
        if event.state is not self.probe_state:
            return  # a cancelled one
        if event.state.ended and not event.state.failure:
            self.probe_state = None  # the plan has it from now on
        self.draw()

    def action_fix(self) -> None:
        def chosen(fix: Fix | None) -> None:
            if fix is None:
                return
            config = self.config
            for name, value in fix.options.items():
                config = set_value(config, name, value)
            self.change(config)
            words = [f"{label_of(name)} {text_of(value)}" for name, value in fix.options.items()]
            self.afina.say(f"{', '.join(words)}. u takes it back; p probes again.")

        self.app.push_screen(Fixes(self.fixes()), chosen)
