"""What is kept in 16 bits is exact enough to compare by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporters.parity.distributions import Carried, Expected, Passage, divergences

RNG = np.random.default_rng(0)


def model(*logits: np.ndarray) -> Expected:
    """What a model expects whose logits are the sum of those, f32 (places, vocabulary)."""
    total = np.sum(logits, axis=0).astype(np.float32)
    log_p = total - np.log(np.exp(total).sum(axis=-1, keepdims=True))
    return Expected(log_p.astype(np.float32), log_p[:, 0].astype(np.float32))


def noise(scale: float, places: int = 200, vocabulary: int = 500) -> np.ndarray:
    return RNG.normal(scale=scale, size=(places, vocabulary))


@pytest.mark.parametrize("loudness", [0.01, 0.1, 1.0])
def test_divergences_of_what_was_kept_are_those_of_the_originals(
    loudness: float, tmp_path: Path
) -> None:
    logits = noise(4.0)
    p, q = model(logits), model(logits, noise(loudness))
    exact = np.sum(np.exp(p.log_p) * (p.log_p - q.log_p), axis=-1)
    p.keep(tmp_path / "p.npz")
    kept = Expected.kept(tmp_path / "p.npz")
    assert kept.log_p.dtype == np.float16 and (kept.own == p.own).all()
    found = divergences(kept, q)
    assert found.mean() == pytest.approx(exact.mean(), rel=0.01, abs=1e-6)
    assert found.min() >= 0
    assert divergences(kept, p).max() < 1e-5  # the rounding alone


def test_a_passage_is_cut_to_its_length_and_its_window() -> None:
    passage = Passage(list(range(100)), [40, 41, 50, 90])
    assert passage.tokens == [40, 41, 50, 90]
    whole = passage.cut(1000, 1000)
    assert whole is not None and len(whole.ids) == 91  # what comes after the last is not read
    window = passage.cut(1000, 5)
    assert window is not None and (len(window.ids), window.places) == (45, [40, 41])
    assert passage.cut(40, 1000) is None
    short = passage.cut(60, 1000)
    assert short is not None and short.places == [40, 41, 50]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 2.0])
def test_how_much_of_the_tuning_is_there_shows_through_noise(share: float) -> None:
    base, step = noise(3.0), noise(1.0)
    tuned, untuned = model(base, step), model(base)
    carried = Carried()
    carried.add(untuned, tuned, model(base, share * step, noise(0.8)))
    assert carried.share == pytest.approx(share, abs=0.05)


def test_a_tuning_that_changed_nothing_has_no_share() -> None:
    same, carried = model(noise(3.0)), Carried()
    carried.add(same, same, model(noise(3.0)))
    assert carried.share is None
