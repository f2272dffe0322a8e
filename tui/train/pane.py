"""The Train pane: the configuration as a form, the plan beside it, the key that starts a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container

from core.config import Config, config_io, presets
from core.config.presets import Subject
from core.data.escape import visible
from core.errors import AfinaError, FieldProblem
from core.runs.problems import run_problems
from core.runs.run import create_run, default_name, slug
from tui import data_facts
from tui import options as form_options
from tui.actions import Action, bindings, of_scope
from tui.continuing import going_on
from tui.dialogs.continue_from import NOTHING, ContinueFrom, starts
from tui.dialogs.question import Question
from tui.theme import SECONDARY, TEXT
from tui.train.dialogs.presets import Presets
from tui.train.files import TrainFiles
from tui.train.groups import objective_now
from tui.train.plan_poller import PlanMade, PlanPoller
from tui.train.plan_text import Outlook, plan_hints, plan_text, summary_text
from tui.train.probe import TrainProbe
from tui.widgets.footer import key_label
from tui.widgets.form import Form
from tui.widgets.form_lines import FormLines
from tui.widgets.frame import Frame, Words
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from core.plan.plan import Plan

PLAN_CELLS = 46  # before the panel has a size
MOST_UNDO = 50


class TrainPane(TrainFiles, TrainProbe):
    """What a run will be."""

    DEFAULT_CSS = Path(__file__).with_suffix(".tcss").read_text(encoding="utf-8")
    SCOPED_CSS = False
    scope = "train"
    BINDINGS = bindings("train")
    first_focus = "FormLines"

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self._drafts: dict[str, str] = {}  # texts that are not valid values yet
        self._draft_problems: dict[str, FieldProblem] = {}
        self._made: PlanMade | None = None
        self._before: list[Config] = []  # what undo goes back to, the newest last

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            with Frame("new run", id="form-frame"):
                yield Form()
            with Frame("plan", id="plan-frame"):
                yield TextView(id="plan")
        yield Words(id="about")
        yield Words(id="summary")

    def on_mount(self) -> None:
        self._plans = PlanPoller(self.home, self.post_message)
        self.draw()
        self.app.call_later(self.afina.learn_data)

    def on_pane_shown(self) -> None:
        if self.is_mounted:
            self.draw()  # files may have come or gone meanwhile

    def on_config_changed(self, config: Config) -> None:
        self.draw()

    def on_data_facts(self) -> None:
        if self.display:
            self.draw()

    # drawing

    def problems(self) -> list[FieldProblem]:
        """Everything that is wrong with what stands in the form."""
        drafted = list(self._draft_problems.values())
        found = run_problems(self.home, self.config)
        found += data_facts.problems(self.config, self.afina.data_facts)
        return drafted + [problem for problem in found if problem.field not in self._drafts]

    def draw(self) -> None:
        """Draws everything anew, and has a plan made."""
        self._plans.ask(self.config, self.afina.data_facts)
        found = self.problems()
        self._draw_form(found)
        self._draw_plan(found)
        self.afina.refresh_footer()

    @property
    def plan(self) -> Plan | None:
        """The newest plan: one of the configuration before is better than a flicker."""
        return self._made.plan if self._made else None

    @property
    def subject(self) -> Subject:
        """What is known of the model and the rows, for the presets."""
        facts = self.afina.data_facts
        shape = facts.shape if facts is not None and facts.path == self.config.data.path else ""
        parameters = self.plan.parameters if self.plan is not None else None
        return Subject(parameters, objective_now(self.config, shape), shape)

    def _draw_form(self, found: list[FieldProblem]) -> None:
        hints = data_facts.hints(self.config, self.afina.data_facts)
        if self.plan is not None:
            hints |= plan_hints(self.plan)
        shape = self.subject.shape
        groups = form_options.groups_of(self.config, found, self._drafts, hints, shape)
        self.query_one(Form).set_groups(groups)
        frame = self.query_one("#form-frame", Frame)
        frame.set_title(f"new run {visible(slug(self.config.name or default_name(self.config)))}")
        preset = presets.matching(self.config, self.subject)
        frame.set_facts(f"preset: {preset.name}" if preset else "")

    def _draw_plan(self, found: list[FieldProblem]) -> None:
        outlook = Outlook(
            config=self.config,
            problems=found,
            plan=self.plan,
            reason=self._made.reason if self._made else "",
            notes=self._made.notes if self._made else (),
            probe=self.probe_state,
            objective=self.subject.objective,
            keys={name: self._key(name) for name in ("run", "probe", "fix")},
        )
        view = self.query_one("#plan", TextView)
        width = view.scrollable_content_region.width or PLAN_CELLS
        view.set_text(plan_text(outlook, self.symbols, width), stay=True)
        self.query_one("#summary", Words).update(summary_text(outlook, self.symbols))
        device = self.plan.device.name if self.plan else ""
        self.query_one("#plan-frame", Frame).set_facts(device)

    def on_plan_made(self, event: PlanMade) -> None:
        if event.config == self.config:
            self._made = event
            found = self.problems()
            self._draw_form(found)
            self._draw_plan(found)

    def on_resize(self) -> None:
        self._draw_plan(self.problems())

    def _key(self, action: str) -> str:
        entry = next(entry for entry in of_scope("train") if entry.id == action)
        return key_label(self.afina.keys_of(entry)[0])

    def on_form_lines_moved(self, event: FormLines.Moved) -> None:
        meaning, facts = form_options.about(event.option.name)
        words = Text(meaning, TEXT).append(f"\n{facts}", SECONDARY)
        self.query_one("#about", Words).update(words)

    # values

    def on_form_edited(self, event: Form.Edited) -> None:
        name = event.name
        self._drafts.pop(name, None)
        self._draft_problems.pop(name, None)
        try:
            if event.value is None:
                default = form_options.default_of(name)
                config = form_options.set_value(self.config, name, default)
            else:
                config = form_options.set_text(self.config, name, event.value)
        except config_io.ConfigError as error:
            self._drafts[name] = event.value or ""
            self._draft_problems[name] = error.problems[0]
            self.draw()
            return
        self.change(config)

    def on_form_asked(self, event: Form.Asked) -> None:
        def chosen(word: str | None) -> None:
            if word == NOTHING:
                self.post_message(Form.Edited(event.name, None))
            elif word is not None:
                self.replace(going_on(self.home, self.config, word))

        self.app.push_screen(ContinueFrom(starts(self.home)), chosen)

    def change(self, config: Config) -> None:
        """A change that undo takes back."""
        if config == self.config:
            self.draw()
            return
        self._before = [*self._before[1 - MOST_UNDO :], self.config]
        self.afina.set_config(config)

    def action_undo(self) -> None:
        self._drafts.clear()
        self._draft_problems.clear()
        self.afina.set_config(self._before.pop())
        self.draw()

    def replace(self, config: Config) -> None:
        """Another configuration as a whole: nothing of the old form is kept."""
        self._drafts.clear()
        self._draft_problems.clear()
        self.change(config)
        self.draw()

    # actions

    def footer_actions(self) -> list[Action]:
        """Without room for both frames, the key that shows the other one."""
        other = "back" if self.has_class("-plan") else "plan"
        shown = [action for action in of_scope("train") if action.id == other and not self.wide]
        run, *others = super().footer_actions()
        return [run, *shown, *others]

    def why_not(self, action: str) -> str:
        if action == "run":
            if self.afina.readonly:
                return "The workbench was opened to look only (--readonly)."
            errors = [p for p in self.problems() if p.severity == "error"]
            if errors:
                more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
                return f"{errors[0].message} {errors[0].hint}{more}"
        if action == "probe":
            return self.why_not_probe()
        if action == "fix" and not self.fixes():
            return "No probe of this configuration advises a change; p probes."
        if action == "undo" and not self._before:
            return "Nothing was changed."
        if action == "next_error" and not self.problems():
            return "No option has a problem."
        if action == "plan" and self.wide:
            return "The plan is in sight."
        return ""

    async def action_run(self) -> None:
        await self._ask(self._questions(), self._start)

    def _questions(self) -> list[tuple[str, str | Text]]:
        """(title, words) of what has to be agreed to before the run starts."""
        active, found = self.afina.activity, []
        if active.run:
            words = f"{active.run} is at work ({active.step:,} of {active.steps:,} steps). "
            words += "A second run shares its device and memory."
            found.append(("start another run?", words))
        if self.config.train.custom_loss:
            found.append(("run code of your own?", loss_words(self.config.train.custom_loss)))
        return found

    async def _ask(
        self, questions: list[tuple[str, str | Text]], then: Callable[[], Awaitable[None]]
    ) -> None:
        """Goes on once every question was answered with yes."""
        if not questions:
            await then()
            return

        async def answered(yes: bool | None) -> None:
            if yes:
                await self._ask(questions[1:], then)

        self.app.push_screen(Question(*questions[0]), answered)

    async def _start(self) -> None:
        try:
            run = create_run(self.home, self.config)
            run.start("train")
        except (AfinaError, OSError) as error:
            self.afina.say(str(error), "error")
            return
        await self.afina.show_pane("runs", run.id)

    def action_next_error(self) -> None:
        lines = self.query_one(FormLines)
        wrong = [i for i, option in enumerate(lines.options) if option.problems]
        if wrong:
            lines.cursor = next((i for i in wrong if i > lines.cursor), wrong[0])
            lines.focus()

    def action_preset(self) -> None:
        def chosen(preset: presets.Preset | None) -> None:
            if preset is not None:
                self.replace(presets.apply(self.config, preset, self.subject))

        self.app.push_screen(Presets(self.config, self.subject), chosen)

    def action_plan(self) -> None:
        if self.has_class("-plan"):
            self.action_back()
        else:
            self.show_plan()

    def show_plan(self) -> None:
        if not self.wide:
            self.add_class("-plan")
            self.query_one("#plan").focus()

    def action_back(self) -> None:
        if self.probing:
            self.cancel_probe()
            return
        self.remove_class("-plan")
        self.query_one(FormLines).focus()


def loss_words(loss: str) -> Text:
    """Which file is going to run, by its whole path."""
    path, _, name = loss.rpartition(":")
    file = str(Path(path).expanduser().absolute())
    text = Text("This file's code will run in the training process:\n\n", TEXT)
    return text.append(visible(file)).append(f"\n{visible(name)}", SECONDARY)
