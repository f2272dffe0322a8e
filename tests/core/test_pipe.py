"""The pipe between app and worker, with real processes: answers, errors, cancels, deaths."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import AfinaError
from core.paths import ROOT
from core.pipe import PipeWorker

WORKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from core.errors import AfinaError
from core.pipe import serve

def echo(request):
    print("a library talks to stdout")
    os.write(1, b"and so does C\\n")
    return {"fields": request.fields}

def count(request):
    for n in range(request.fields["to"]):
        request.send("number", n=n)
    return {"kind": "counted"}

def refuse(request):
    raise AfinaError("Not this one.", "Try another.")

def fail(request):
    raise KeyError("oops")

def wait(request):
    request.send("waiting")
    return {"kind": "cancelled" if request.cancelled.wait(20) else "late"}

def die(request):
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), request.fields["signal"])

def leave(request):
    print("exit words", file=sys.stderr, flush=True)
    os._exit(3)

def read(request):
    return {"read": sys.stdin.read()}

def deaf(request):
    request.send("deaf")
    time.sleep(60)

handlers = dict(echo=echo, count=count, refuse=refuse, fail=fail, wait=wait, die=die, leave=leave,
                read=read, deaf=deaf, slow=wait)
sys.exit(serve(handlers, background=("slow",)))
"""
Worker = tuple[PipeWorker, list[dict[str, Any]]]


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits until a condition holds; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    return [sys.executable, str(script), str(ROOT)]


@pytest.fixture
def worker(command: list[str]) -> Iterator[Worker]:
    messages: list[dict[str, Any]] = []
    with PipeWorker("test", messages.append, command=command) as process:
        yield process, messages


def test_what_libraries_print_does_not_reach_the_protocol(worker: Worker) -> None:
    answer = worker[0].call("echo", text="¿é😀?", number=1.5, timeout=10)
    assert answer["fields"] == {"text": "¿é😀?", "number": 1.5}
    assert (answer["kind"], answer["end"]) == ("done", True)
    wait_for(lambda: "and so does C" in worker[0]._tail)


def test_answers_on_the_way_come_in_order_before_the_last(worker: Worker) -> None:
    seen: list[int] = []
    last = worker[0].call("count", to=100, timeout=10, on_message=lambda m: seen.append(m["n"]))
    assert seen == list(range(100))
    assert last["kind"] == "counted"


def test_requests_are_answered_under_their_numbers(worker: Worker) -> None:
    process, messages = worker
    numbers = [process.request("count", to=2), process.request("echo"), process.request("nothing")]
    wait_for(lambda: sum("end" in message for message in messages) == 3)
    assert [(message["id"], message["kind"]) for message in messages] == [
        (numbers[0], "number"),
        (numbers[0], "number"),
        (numbers[0], "counted"),
        (numbers[1], "done"),
        (numbers[2], "error"),
    ]
    assert "nothing" in messages[-1]["message"]


def test_an_error_for_people_arrives_as_one_and_the_worker_lives_on(worker: Worker) -> None:
    with pytest.raises(AfinaError) as caught:
        worker[0].call("refuse", timeout=10)
    assert (caught.value.message, caught.value.hint) == ("Not this one.", "Try another.")
    with pytest.raises(AfinaError, match="KeyError"):
        worker[0].call("fail", timeout=10)
    assert worker[0].call("echo", timeout=10)["kind"] == "done"
    wait_for(lambda: any("KeyError" in line for line in worker[0]._tail))


def test_a_request_is_cancelled_while_it_runs_or_waits(worker: Worker) -> None:
    process, messages = worker
    running, queued = process.request("wait"), process.request("wait")
    wait_for(lambda: messages)
    process.cancel(queued)
    process.cancel(running)
    wait_for(lambda: sum("end" in message for message in messages) == 2)
    assert [(m["id"], m["kind"]) for m in messages if "end" in m] == [
        (running, "cancelled"),
        (queued, "cancelled"),
    ]


def test_work_in_the_background_does_not_hold_up_the_rest(worker: Worker) -> None:
    process, messages = worker
    slow = process.request("slow")
    wait_for(lambda: messages)
    assert process.call("echo", timeout=10)["kind"] == "done"
    process.cancel(slow)
    wait_for(lambda: messages[-1]["kind"] == "cancelled")


@pytest.mark.parametrize(
    ("op", "why"), [("die", "was ended by SIGSEGV"), ("leave", "ended with exit code 3")]
)
def test_a_dead_worker_leaves_its_last_lines_to_every_open_request(
    worker: Worker, op: str, why: str
) -> None:
    process, messages = worker
    first, second = process.request(op, signal=11), process.request("echo")
    wait_for(lambda: len(messages) == 2)
    assert {message["id"] for message in messages} == {first, second}
    for message in messages:
        assert message["kind"] == "died"
        assert why in message["message"]
        assert "words" in message["hint"]
    assert not process.alive
    with pytest.raises(AfinaError, match=why):
        process.call("echo", timeout=10)


def test_an_answer_that_does_not_come_is_an_error(worker: Worker) -> None:
    with pytest.raises(AfinaError, match="did not answer"):
        worker[0].call("wait", timeout=0.3)


def test_a_worker_reads_nothing_but_requests(worker: Worker) -> None:
    assert worker[0].call("read", timeout=10)["read"] == ""


def test_closing_ends_a_worker_that_works_and_one_that_does_not_listen(command: list[str]) -> None:
    for op in ("wait", "deaf"):
        messages: list[dict[str, Any]] = []
        process = PipeWorker("test", messages.append, command=command)
        process.request(op)
        wait_for(lambda messages=messages: messages)
        process.close(0.5 if op == "deaf" else 5.0)
        assert process.process.poll() is not None
        wait_for(lambda messages=messages: "end" in messages[-1])


def test_a_worker_ends_when_its_app_is_killed(command: list[str], tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from core.pipe import PipeWorker\n"
        f"worker = PipeWorker('test', command={command!r})\n"
        "worker.call('echo', timeout=20); print(worker.process.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(app), str(ROOT)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not _runs(child))


def test_the_data_worker_is_started_through_the_launcher() -> None:
    with PipeWorker("data") as worker, pytest.raises(AfinaError, match="There is no file"):
        worker.call("open", path="/no/such/file.jsonl", timeout=30)


def test_many_threads_can_call_at_once(worker: Worker) -> None:
    answers: list[int] = []

    def ask(number: int) -> None:
        answers.append(worker[0].call("echo", number=number, timeout=20)["fields"]["number"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(20))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an orphan may wait for its new parent as a zombie
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_worker_that_reads_nothing_is_ended_while_a_send_waits_for_it() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = PipeWorker("test", lambda message: None, command=command)
    sending = threading.Thread(target=lambda: process.request("echo", text="x" * 2**20))
    sending.start()
    # the send has the lock: it can't be had
    wait_for(lambda: not process._lock.acquire(blocking=False) or process._lock.release())
    process.close(0.2)
    assert process.process.poll() is not None
    sending.join(10.0)
    assert not sending.is_alive()
