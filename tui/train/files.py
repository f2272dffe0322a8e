"""The Train pane's configuration as a file: edited in $EDITOR, opened, saved."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from core.config import Config, config_io
from core.data.escape import visible
from core.errors import AfinaError
from core.paths import SAMPLE_DATA, write_atomic
from core.runs.run import all_runs, default_name, slug
from tui.dialogs.path import Offer, PathDialog
from tui.dialogs.question import Question
from tui.pane import Pane
from tui.shell import editor

YAML = (".yaml", ".yml")
MOST_OFFERS = 8


class TrainFiles(Pane):
    """What the pane does with files."""

    def replace(self, config: Config) -> None:
        """Another configuration as a whole: nothing of the old form is kept."""
        raise AssertionError("a pane with a form replaces what is in it")

    def open_subject(self, subject: str) -> None:
        self._load(Path(subject))

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
            self.replace(config)

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
            self.replace(config_io.load(path))
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
