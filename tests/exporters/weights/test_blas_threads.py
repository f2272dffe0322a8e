"""Threads that each multiply don't wake others for it."""

from __future__ import annotations

from exporters.weights import blas_threads


def test_numpy_multiplies_on_one_thread_until_the_work_is_done() -> None:
    found = blas_threads._functions()
    assert found is not None  # numpy from PyPI comes with OpenBLAS
    count, choose = found
    before = count()
    choose(2)
    try:
        with blas_threads.on_one_thread():
            assert count() == 1
        assert count() == 2
    finally:
        choose(before)
