"""What people ask of a run: what counts more, and when it is now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.jobs import Job, JobWorker
from core.train.control import Requests


class Ended(Exception):
    pass


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Job, Requests]]:
    Job(tmp_path).announce()
    worker = JobWorker(tmp_path)

    def end(requests: Requests) -> None:
        requests.answer_all("ended")
        raise Ended

    yield Job(tmp_path), Requests(worker, end)
    worker.close()


def test_the_first_stop_waits_for_the_step_and_the_second_does_not(
    asked: tuple[Job, Requests],
) -> None:
    job, requests = asked
    job.request("stop")
    assert requests.stop_asked() and requests.ending == "stopped"
    second = job.request("stop")
    with pytest.raises(Ended):
        requests.poll()
    assert {event["request"] for event in job.events()} == {second - 1, second}


def test_a_stop_that_says_now_does_not_wait(asked: tuple[Job, Requests]) -> None:
    job, requests = asked
    job.request("stop", now=True)
    with pytest.raises(Ended):
        requests.stop_asked()


def test_a_signal_and_a_request_are_two_stops(asked: tuple[Job, Requests]) -> None:
    job, requests = asked
    requests.signal()
    assert requests.ending == "stopped"
    job.request("stop")
    with pytest.raises(Ended):
        requests.poll()


def test_a_stop_counts_more_than_a_pause_and_both_are_no_hurry(
    asked: tuple[Job, Requests],
) -> None:
    job, requests = asked
    job.request("pause")
    job.request("pause")
    assert requests.stop_asked() and requests.ending == "paused"
    job.request("stop")
    assert requests.stop_asked() and requests.ending == "stopped"


def test_once_the_run_is_over_nothing_ends_it_any_more(asked: tuple[Job, Requests]) -> None:
    job, requests = asked
    job.request("stop", now=True)
    requests.close("the run is done")
    assert [event["result"] for event in job.events()] == ["the run is done"]
