"""What is wrong with a run that is to be: its configuration, and what it goes on from."""

from __future__ import annotations

from pathlib import Path

from core.config import Config
from core.config.problems import problems
from core.errors import FieldProblem
from core.runs.continue_from import continue_from_problems


def run_problems(home: Path, config: Config) -> list[FieldProblem]:
    """Every problem and warning, by the field that it belongs to; form and commands ask here."""
    return [*continue_from_problems(home, config), *problems(config)]
