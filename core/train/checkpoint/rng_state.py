"""The states of the random generators, to be put back where a step was given up."""

from __future__ import annotations

import random
from typing import Any


def take() -> dict[str, Any]:
    """The states of this moment; the GPU's are asked only where it is in use."""
    import numpy
    import torch

    states = {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "cpu": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def put_back(states: dict[str, Any]) -> None:
    import numpy
    import torch

    random.setstate(states["python"])
    numpy.random.set_state(states["numpy"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
