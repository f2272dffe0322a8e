"""Processes that end in the middle: by SIGKILL at any moment, by a signal, by a request."""

from __future__ import annotations

import signal
from collections.abc import Callable

from benchmarks.storm import fleet
from benchmarks.storm.fleet import Life, losses, of_kind
from benchmarks.storm.stage import EVERY, FULL, LORA, STREAMED, Stage, holds, newest_step, sentence
from core.runs.run import Run, is_complete, step_folders

KINDS = {"lora": LORA, "full": FULL, "streamed": STREAMED}
WEIGHTS = (6, 2, 2)  # how often each of the three
COLD_S = 10.0  # that a cold worker needs longer


def kills(stage: Stage, count: int = 200, cold: int = 6, only: str | None = None) -> None:
    """SIGKILL until a run comes to its end, over and over; half of the moments are aimed."""
    done = 0
    while done < count:
        kind = only or stage.random.choices(list(KINDS), WEIGHTS)[0]
        words = KINDS[kind]
        run = stage.run(*words)
        saved = 0
        while done < count and run.state().state != "done":
            icy = done < cold
            moment = stage.random.choice([_any_moment, _any_moment, *AIMED])
            with stage.case(f"{kind}, killed at {moment.__name__.strip('_')}"):
                life = fleet.start(run, cold=icy)
                moment(stage, life, icy)
                seen = max(losses(run), default=0)
                killed = life.kill()
                done += killed
                stage.verdict.tries -= not killed  # it came to its end first
                stage.verdict.held -= not killed
                holds(not killed or run.state().state in ("interrupted", "done"), _state(run))
                now = newest_step(run)
                holds(now >= saved, f"{run.id}: step {saved} was saved, and {now} is the newest")
                lost = seen - now
                holds(lost <= EVERY, f"{run.id} lost {lost} steps")
                saved = now
        with stage.case(f"{kind}, killed until done"):
            if run.state().state == "done":
                stage.ended_well(run, words)
            else:
                stage.finish(run, words)


def _any_moment(stage: Stage, life: Life, cold: bool) -> None:
    longest = stage.life_s(*LORA) + (COLD_S if cold else 0.0)
    until = life.born + stage.random.uniform(0.0, longest)
    life.until(lambda: fleet.time.monotonic() >= until)


def _inside_a_checkpoint(stage: Stage, life: Life, cold: bool) -> None:
    before = set(step_folders(life.run.directory))

    def half_written() -> bool:
        folders = [path for path in step_folders(life.run.directory) if path not in before]
        return any(not is_complete(folder) for folder in folders)

    life.until(half_written)


def _inside_the_result(stage: Stage, life: Life, cold: bool) -> None:
    folders = [life.run.directory / name for name in ("adapter", "model")]
    left = [folder for folder in folders if folder.is_dir()]  # by a kill before; soon removed
    life.until(lambda: not any(folder.is_dir() for folder in left))
    life.until(lambda: any(folder.is_dir() for folder in folders))
    _a_moment_later(stage, life)


def _inside_the_proof(stage: Stage, life: Life, cold: bool) -> None:
    before = _proofs_begun(life.run)
    life.until(lambda: _proofs_begun(life.run) > before)
    _a_moment_later(stage, life)


def _proofs_begun(run: Run) -> int:
    return sum(event["name"] == "proving result" for event in of_kind(run, "phase"))


def _as_it_prepares(stage: Stage, life: Life, cold: bool) -> None:
    said = len(of_kind(life.run, "phase"))
    wanted = stage.random.randint(1, 6)
    life.until(lambda: len(of_kind(life.run, "phase")) >= said + wanted)
    _a_moment_later(stage, life)


def _a_moment_later(stage: Stage, life: Life) -> None:
    until = fleet.time.monotonic() + stage.random.uniform(0.0, 0.1)
    life.until(lambda: fleet.time.monotonic() >= until)


AIMED: list[Callable[[Stage, Life, bool], None]] = [
    _inside_a_checkpoint,
    _inside_the_result,
    _inside_the_proof,
    _as_it_prepares,
]


def _state(run: Run) -> str:
    state = run.state()
    return f"{run.id} is {state.state}: {state.reason}"


def stops(stage: Stage, count: int = 20) -> None:
    """Signals and requests to stop or pause at any moment: nothing is lost, and it goes on."""
    for _ in range(count):
        way = stage.random.choice(["SIGTERM", "SIGINT", "stop", "pause"])
        kind = stage.random.choice(list(KINDS))
        with stage.case(f"{kind}, {way}"):
            run = stage.run(*KINDS[kind])
            life = fleet.start(run)
            _any_moment(stage, life, False)
            if way.startswith("SIG"):
                life.signal(signal.Signals[way])
            elif life.alive():
                run.request(way)
            life.wait()
            ended = run.state().state
            seen = max(losses(run), default=0)
            if ended in ("stopped", "paused"):
                holds(newest_step(run) == seen, f"{run.id} stopped at {seen}: {newest_step(run)}")
            elif not (way.startswith("SIG") and ended == "interrupted" and not seen):
                sentence(run, "done")  # a signal can come before the worker's first line of code
            if ended == "done":
                stage.ended_well(run, KINDS[kind])
            else:
                stage.finish(run, KINDS[kind])


def second_stop(stage: Stage) -> None:
    """Two stops: the second one ends it now, without saving, and says so."""
    for way in ("signal", "request"):
        with stage.case(f"two by {way}"):
            slow = (*LORA, "eval.max_new_tokens=100000", "checkpoint.every_steps=100")
            run = stage.run(*slow)
            life = fleet.start(run)
            holds(life.until(life.runs), "it never ran")
            if way == "signal":
                life.signal(signal.SIGTERM)
                life.signal(signal.SIGINT)
            else:
                run.request("stop")
                run.request("stop", now=True)
            life.wait()
            sentence(run, "stopped", "saving")


def second_worker(stage: Stage) -> None:
    """Another process on the same run is refused, and harms nothing."""
    with stage.case("a second worker"):
        run = stage.run(*LORA)
        life = fleet.start(run)
        holds(life.until_step(2), "no step")
        second = fleet.start_unannounced(run)
        holds(second.wait() == 1, "the second worker was let in")
        life.wait()
        stage.ended_well(run, LORA)
        holds("Another process works on" in run.log_path.read_text(), "nobody said why")


def hangup(stage: Stage) -> None:
    """The terminal goes: the run doesn't care."""
    with stage.case("SIGHUP"):
        run = stage.run(*LORA)
        life = fleet.start(run)
        holds(life.until_step(2), "no step")
        life.signal(signal.SIGHUP)
        life.wait()
        stage.ended_well(run, LORA)
