"""The Train pane: the configuration as a form, the plan beside it, the key that starts a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container

from core.config import Config, config_io, presets
from core.config.problems import problems
from core.data.visible import visible
from core.errors import AfinaError, FieldProblem
from core.paths import SAMPLE_DATA, write_atomic
from core.runs import all_runs, create_run, default_name, slug
from tui import data_facts, editor, form_options
from tui.actions import Action, bindings, of_scope
from tui.plan_feed import PlanFeed, PlanMade
from tui.plan_words import Outlook, plan_hints, plan_text, summary_text
from tui.screens.dialogs.path import Offer, PathDialog
from tui.screens.dialogs.presets import Presets
from tui.screens.dialogs.question import Question
from tui.screens.pane import Pane
from tui.theme import SECONDARY, TEXT
from tui.widgets.footer import key_label
from tui.widgets.form import Form
from tui.widgets.form_lines import FormLines
from tui.widgets.frame import Frame, Words
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from core.plan.plan import Plan

YAML = (".yaml", ".yml")
MOST_OFFERS = 8
PLAN_CELLS = 46  # before the panel has a size


class TrainPane(Pane):
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

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            with Frame("new run", id="form-frame"):
                yield Form()
            with Frame("plan", id="plan-frame"):
                yield TextView(id="plan")
        yield Words(id="about")
        yield Words(id="summary")

    def on_mount(self) -> None:
        self._plans = PlanFeed(self.home, self.post_message)
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

    def open_subject(self, subject: str) -> None:
        self._load(Path(subject))

    # drawing

    def problems(self) -> list[FieldProblem]:
        """Everything that is wrong with what stands in the form."""
        drafted = list(self._draft_problems.values())
        found = problems(self.config) + data_facts.problems(self.config, self.afina.data_facts)
        return drafted + [problem for problem in found if problem.field not in self._drafts]

    def draw(self) -> None:
        """Draws everything anew, and has a plan made."""
        self._plans.ask(self.config, self.afina.data_facts)
        found = self.problems()
        self._draw_form(found)
        self._draw_plan(found)
        self.afina.refresh_footer()

    @property
    def _plan(self) -> Plan | None:
        """The newest plan: one of the configuration before is better than a flicker."""
        return self._made.plan if self._made else None

    def _draw_form(self, found: list[FieldProblem]) -> None:
        hints = data_facts.hints(self.config, self.afina.data_facts)
        if self._plan is not None:
            hints |= plan_hints(self._plan)
        groups = form_options.groups_of(self.config, found, self._drafts, hints)
        self.query_one(Form).set_groups(groups)
        frame = self.query_one("#form-frame", Frame)
        frame.set_title(f"new run {visible(slug(self.config.name or default_name(self.config)))}")
        preset = presets.matching(self.config)
        frame.set_facts(f"preset: {preset.name}" if preset else "")

    def _draw_plan(self, found: list[FieldProblem]) -> None:
        reason = self._made.reason if self._made else ""
        outlook = Outlook(self.config, found, self._plan, reason, self._key("run"))
        view = self.query_one("#plan", TextView)
        width = view.scrollable_content_region.width or PLAN_CELLS
        view.set_text(plan_text(outlook, self.symbols, width), stay=True)
        self.query_one("#summary", Words).update(summary_text(outlook, self.symbols))
        device = self._plan.device.name if self._plan else ""
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
        if config == self.config:
            self.draw()
        else:
            self.afina.set_config(config)

    def _replace(self, config: Config) -> None:
        """Another configuration as a whole: nothing of the old form is kept."""
        self._drafts.clear()
        self._draft_problems.clear()
        self.afina.set_config(config)
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
        if action == "next_error" and not self.problems():
            return "No option has a problem."
        if action == "plan" and self.wide:
            return "The plan is in sight."
        return ""

    async def action_run(self) -> None:
        active = self.afina.activity
        if not active.run:
            await self._start()
            return

        async def answered(yes: bool | None) -> None:
            if yes:
                await self._start()

        words = f"{active.run} is at work ({active.step:,} of {active.steps:,} steps). "
        words += "A second run shares its device and memory."
        self.app.push_screen(Question("start another run?", words), answered)

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
                self._replace(presets.apply(self.config, preset))

        self.app.push_screen(Presets(self.config), chosen)

    def action_edit_yaml(self) -> None:
        self._edit(config_io.to_yaml(self.config))

    def _edit(self, text: str) -> None:
        try:
            editor.command()
            with self.app.suspend():
                edited = editor.edit(text, ".yaml")
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return
        try:
            config = config_io.parse(edited)
        except AfinaError as error:
            self._ask_again(edited, error)
        else:
            self._replace(config)

    def _ask_again(self, text: str, error: AfinaError) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._edit(text)

        words = Text(visible(str(error))).append("\n\nEdit it again? No keeps the form as it is.")
        self.app.push_screen(Question("the YAML can't be used", words), answered)

    def action_open_yaml(self) -> None:
        def opened(path: Path | None) -> None:
            if path is not None:
                self._load(path)

        runs = [Offer(run.directory / "config.yaml", run.name) for run in all_runs(self.home)]
        sample = [Offer(SAMPLE_DATA / "travel.yaml", "sample")]
        offers = [offer for offer in sample + runs[:MOST_OFFERS] if offer.path.is_file()]
        self.app.push_screen(PathDialog("open a configuration", YAML, offers), opened)

    def _load(self, path: Path) -> None:
        try:
            self._replace(config_io.load(path))
        except AfinaError as error:
            self.afina.say(str(error), "error")

    def action_save_yaml(self) -> None:
        name = slug(self.config.name or default_name(self.config))

        def chosen(path: Path | None) -> None:
            if path is None:
                return
            if path.exists():
                self._ask_overwrite(path)
            else:
                self._save(path)

        dialog = PathDialog("save the configuration", YAML, value=f"{name}.yaml", saving=True)
        self.app.push_screen(dialog, chosen)

    def _ask_overwrite(self, path: Path) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._save(path)

        words = f'"{visible(str(path))}" is there already.'
        self.app.push_screen(Question("replace the file?", words), answered)

    def _save(self, path: Path) -> None:
        try:
            write_atomic(path.expanduser(), config_io.to_yaml(self.config))
        except OSError as error:
            self.afina.say(f'Can\'t write "{path}": {error.strerror}.', "error")
        else:
            self.afina.say(f"Saved to {path}. `afina train {path}` runs it.")

    def action_plan(self) -> None:
        self.toggle_class("-plan")
        (self.query_one("#plan" if self.has_class("-plan") else "FormLines")).focus()

    def action_back(self) -> None:
        self.remove_class("-plan")
        self.query_one(FormLines).focus()
