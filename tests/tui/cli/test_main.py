"""The command line's frame: exit codes, one line for people, doctor, what needs a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from core.environment import worker_environment
from tui.cli import doctor

ROOT = Path(__file__).resolve().parents[3]


def afina(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "afina.py"), "--home", str(home), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=worker_environment(),
        timeout=60,
    )


def test_no_error_steers_the_terminal(tmp_path: Path) -> None:
    done = afina(tmp_path, "watch", "no\x1b[2Jthing")
    assert done.returncode == 2
    assert "thing" in done.stderr and "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["watch", "nothing"], '"nothing"'),
        (["train", "nothing.yaml"], '"nothing.yaml"'),
        (["chat", "nothing.gguf", "--prompt", "hi"], '"nothing.gguf"'),
        (["export", "nothing", "--to", "gguf:f16"], '"nothing"'),
        (["data", "show", "nothing.jsonl", "--row", "1"], "nothing.jsonl"),
        ([], "terminal"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_exit_code_2(
    home: Path, words: list[str], named: str
) -> None:
    run = afina(home, *words)
    assert run.returncode == 2
    assert run.stdout == ""
    assert named in run.stderr
    assert run.stderr.startswith("afina: ")
    assert len(run.stderr.splitlines()) == 1


def test_an_unknown_command_is_exit_code_2(home: Path) -> None:
    run = afina(home, "trian")
    assert run.returncode == 2
    assert "trian" in run.stderr


def test_doctor_says_what_works_and_ends_with_1_when_something_does_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"fine": "print('yes')", "broken": "raise OSError('no')"})
    with pytest.raises(typer.Exit) as end:
        doctor.doctor(json=True)
    report = json.loads(capsys.readouterr().out)
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert (states["fine"], states["broken"], states["torch"]) == ("ok", "problem", "ok")
    assert (end.value.exit_code, report["ok"]) == (1, False)


def test_doctor_names_a_home_that_can_not_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AFINA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    found = next(finding for finding in doctor.diagnose() if finding.name == "home")
    assert found.state == "problem"
    assert "--home" in found.hint
