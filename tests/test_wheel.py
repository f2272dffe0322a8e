"""The wheel holds what an installed Afina needs: styles and sample data, but no build tools."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_module_and_style_sheet_is_in_the_wheel(names: set[str]) -> None:
    for folder in ("core", "exporters", "tui"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".tcss", ".jinja"):
                assert str(path.relative_to(ROOT)) in names


def test_the_sample_journey_is_in_the_wheel(names: set[str]) -> None:
    assert "afina.py" in names
    for path in (ROOT / "sample_data").rglob("*"):
        name = str(path.relative_to(ROOT))
        if path.is_file() and not name.startswith("sample_data/build/"):
            assert name in names


def test_tests_and_build_scripts_stay_out_of_the_wheel(names: set[str]) -> None:
    assert not [name for name in names if name.startswith(("tests/", "sample_data/build/"))]
