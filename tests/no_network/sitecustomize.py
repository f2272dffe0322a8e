"""Closes the network in every process of the tests: this folder is on their PYTHONPATH."""

from __future__ import annotations

import socket

_connect = socket.socket.connect


def _local_only(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise OSError(f"The tests have no network, and something wants {address}")
    _connect(self, address)  # type: ignore[arg-type]


socket.socket.connect = _local_only  # type: ignore[method-assign]
