"""The tests' own promise: nothing here or in a child process reaches a network."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest


def test_a_connection_is_refused_here() -> None:
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_a_connection_is_refused_in_a_child_process() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "no network" in run.stderr
