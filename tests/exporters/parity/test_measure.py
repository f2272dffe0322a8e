"""Numbers of an export that is far from what was trained are still numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.chat.generation import LOWEST
from exporters.parity.measure import perplexity


def test_perplexity_is_the_exponential_of_the_mean_loss_over_all_tokens() -> None:
    parts = [np.log(np.array(each, np.float32)) for each in ([0.5, 0.5, 0.5], [0.125])]
    assert perplexity(parts) == pytest.approx(2**1.5)


def test_a_model_that_excludes_every_token_has_a_perplexity_that_can_be_judged() -> None:
    found = perplexity([np.full(3, LOWEST, np.float32)])
    assert 20 < math.log(found) < 30 and len(f"{found:.3f}") < 20
