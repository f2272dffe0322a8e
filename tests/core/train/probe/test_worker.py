"""The probe's process and the client that it works for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from core.config import config_io
from core.paths import ROOT
from core.plan.probe import FOLDER
from tests.core.train.conftest import Configure

CLIENT = """
import sys
from pathlib import Path
import afina
from core.config import config_io
from core.plan.probe import Probing
for event in Probing(config_io.load(sys.argv[1]), Path(sys.argv[2])).events():
    print(event["kind"], flush=True)
"""
DEADLINE_S = 60.0


def test_what_a_killed_client_leaves_is_removed(configure: Configure, tmp_path: Path) -> None:
    path, scratch = tmp_path / "config.yaml", tmp_path / "scratch"
    scratch.mkdir()
    path.write_text(config_io.to_yaml(configure()))
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(path), str(tmp_path / "home")],
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"phase\n"
    assert [folder.name[: len(FOLDER)] for folder in scratch.iterdir()] == [FOLDER]
    client.kill()
    client.communicate()
    deadline = time.monotonic() + DEADLINE_S
    while any(scratch.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(scratch.iterdir())
