"""Opens the workbench in this terminal."""

from __future__ import annotations

import sys

from core.config import Config
from core.errors import AfinaError
from core.paths import home, make_folder


def open_workbench(
    *,
    readonly: bool = False,
    ascii: bool = False,
    mouse: bool = True,
    config: Config | None = None,
    data_path: str | None = None,
) -> None:
    """Runs the app until the person quits; needs a terminal on both sides.

    It opens on the Data pane where a configuration or data are given.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AfinaError("The workbench needs a terminal.", "`afina --help` lists the commands.")
    from tui.shell import terminal

    terminal.prepare()
    terminal.free_alt_digits()
    from tui.app import AfinaApp

    folder = make_folder(home())
    AfinaApp(folder, data_path, config, readonly=readonly, ascii_only=ascii).run(mouse=mouse)
