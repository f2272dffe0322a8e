"""The tuned tiny model, asked once, with rows of a run beside its questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from core.config import config_io
from core.jobs import JobWorker
from core.runs.run import Run, create_run
from core.runs.target import Target
from exporters.cancel import Requests
from exporters.contract import Exporter, Working, exporter_class
from exporters.parity import reference as asking
from exporters.parity.judge import judge
from exporters.parity.measure import measure
from exporters.parity.reference import Reference
from exporters.results import PASS, Check

ASKED = 4
ROWS = 40


@pytest.fixture(scope="session")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over the tiny model, with a quarter of its rows held out."""
    folder = tmp_path_factory.mktemp("run")
    turns = [("system", "Be kind."), ("user", "Question {}?"), ("assistant", "The sea is warm.")]
    rows = [[{"role": r, "content": c.format(n)} for r, c in turns] for n in range(ROWS)]
    lines = [json.dumps({"messages": row}) for row in rows]
    (folder / "d.jsonl").write_text("\n".join(lines))
    values = {
        "model": {"name_or_path": str(base)},
        "data": {"path": str(folder / "d.jsonl"), "eval_fraction": 0.25},
        "eval": {"watch_prompts": ["Watch me."]},
    }
    return create_run(folder / "home", config_io.from_values(values))


@pytest.fixture(scope="session")
def reference(
    tuned: Target, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reference]:
    """The tuned model's answers to a few questions, and what it expects in the run's rows."""
    worker = JobWorker(tmp_path_factory.mktemp("job"))
    requests = Requests(worker)
    target = msgspec.structs.replace(tuned, run=str(run.directory))
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "COUNT", ASKED)
        found = Reference(target, folder, requests, 1, lambda done, total: None)
    yield found
    requests.close()
    worker.close()


Compare = Callable[[Exporter, str], dict[str, Check]]


@pytest.fixture
def working(tmp_path: Path) -> Working:
    (tmp_path / "scratch").mkdir()
    return Working(lambda *values: None, lambda: None, tmp_path / "scratch", 1)


@pytest.fixture
def compare(tuned: Target, reference: Reference, tmp_path: Path, working: Working) -> Compare:
    """Lets an exporter write one type, right or wrong; the checks that don't pass, by name."""

    def found(exporter: Exporter, word: str) -> dict[str, Check]:
        kind, _, type_name = word.partition(":")
        path = tmp_path / f"x-{type_name}.{kind}"
        exporter.write({type_name: path}, working)
        right = exporter_class(kind)(tuned)
        measured = measure(right, type_name, path, reference, working, lambda done, total: None)
        checks = judge(measured, kind, type_name)
        return {check.name: check for check in checks if check.verdict != PASS}

    return found
