"""The process that trains one run: phases, training, result, and what is said when it fails.

Everything it says goes into the run's directory; nobody waits for it at a pipe.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from core.config import Config
from core.errors import AfinaError
from core.hardware import read_device
from core.jobs import JobWorker, sole_worker
from core.runs import Run
from core.train import checkpoints, preflight
from core.train.dataset import Encoded, load
from core.train.findings import Diverged
from core.train.progress import Progress
from core.train.requests import Requests
from core.train.setup import Setup

if TYPE_CHECKING:
    from core.data.encode import Encoder
    from core.train.recorder import Recorder
    from core.train.trainer import RunTrainer

PROGRESS_EVERY_S = 0.5


class StoppedEarly(Exception):
    """A stop was asked for before the first step; there is nothing to save."""


def main(directory: str) -> int:
    """Trains the run in a directory to its end; returns the exit code."""
    _take_one_gpu()
    run = Run(directory)
    try:
        with sole_worker(run.directory):
            return _guarded(run, JobWorker(run.directory))
    except AfinaError as error:  # another worker holds the lock: the run is its own
        _log(str(error))
        return 1


def _take_one_gpu() -> None:
    """A run uses one GPU: the first that it may; several would be wrapped in nn.DataParallel."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def _guarded(run: Run, worker: JobWorker) -> int:
    """The outermost frame: every way to fail ends in an event, a state and a sentence."""
    requests = Requests(worker)
    _obey_signals(worker, requests)
    try:
        return Training(run, worker, requests).go()
    except StoppedEarly:
        worker.update("stopped", reason="Stopped before the first step.")
        return 0
    except Exception as error:  # noqa: BLE001 - a worker's last word
        told = failure_of(error, run)
        if not isinstance(error, AfinaError):
            traceback.print_exc()
        worker.event("failure", message=told.message, hint=told.hint)
        worker.update("failed", reason=str(told))
        return 1
    finally:
        requests.close(f"the run is {worker.current.state}")
        worker.close()


def failure_of(error: Exception, run: Run) -> AfinaError:
    """What a person is told: what happened and what to change."""
    if isinstance(error, AfinaError):
        return error
    if isinstance(error, Diverged):
        return _diverged(error, run)
    if _out_of_memory(error):
        return AfinaError(
            "The device ran out of memory.",
            "Lower train.per_device_train_batch_size or data.max_length, or set "
            "train.gradient_checkpointing=true.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AfinaError(
            f'The disk of "{run.directory}" is full.',
            "Free some space and resume, or choose another home with --home DIR.",
        )
    return AfinaError(
        f"{type(error).__name__}: {_first_line(error)}.",
        "This is a fault of Afina or of a library; the traceback is in log.txt.",
    )


def _diverged(error: Diverged, run: Run) -> AfinaError:
    good = run.checkpoints()
    if good:
        step = checkpoints.step_of(good[-1])
        hint = (
            f"The last good checkpoint is step {step}: `afina chat {run.id}@{step}` asks it. "
            "A smaller train.learning_rate usually helps."
        )
    else:
        hint = "No checkpoint was saved before. A smaller train.learning_rate usually helps."
    return AfinaError(f"The {error.what} is {error.value} at step {error.step}.", hint)


def _out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return True
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300].rstrip(".")


def _obey_signals(worker: JobWorker, requests: Requests) -> None:
    """The first SIGTERM or SIGINT stops after saving; the second one ends the process now."""

    def heard(number: int, frame: FrameType | None) -> None:
        if not requests.signalled:
            requests.signalled = True
            return
        saved = Run(worker.job.directory).checkpoints()
        last = f"the last checkpoint is {saved[-1].name}" if saved else "no checkpoint was saved"
        worker.update("stopped", reason=f"Ended at once, without saving; {last}.")
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)


def quiet_libraries() -> None:
    """No progress bars and no notes to the developers of libraries in log.txt."""
    import logging
    import warnings

    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is log.txt


class Training:
    """One run from its configuration to its result."""

    def __init__(self, run: Run, worker: JobWorker, requests: Requests) -> None:
        self.run = run
        self.worker = worker
        self.requests = requests
        self.config: Config = run.config
        self.started = time.monotonic()

    def go(self) -> int:
        from core.data.encode import Encoder

        resumed, progress = self._find_checkpoint()
        base = self._find_base()
        with self._phase("reading data"):
            encoder = Encoder.load(
                base,
                self.config.data.max_length,
                self.config.train.supervise,
                self.config.data.chat_template,
            )
            encoded = self.load_rows(encoder)
            preflight.check_data(self.config, encoder, encoded)
            self._check_same_data(progress, encoded)
        with self._phase("loading packages"):
            preflight.check_family(base)
            quiet_libraries()
            from core.train import precision
            from core.train.recorder import Recorder
            from core.train.watch import Watch
        setup = Setup(
            self.run.directory, base, self.config, precision.choose(self.config, progress.dtype)
        )
        progress.dtype = setup.precision.dtype
        system = encoded.train.system_prompt
        watch = Watch(setup, encoder, system, self.requests.stop_asked)
        recorder = Recorder(self.worker, self.config, progress, self.requests, watch.answer)
        if resumed is not None:
            recorder.go_on_from(checkpoints.step_of(resumed), self.run.events())
        trainer = watch.trainer = self.build(setup, encoder, encoded, recorder)
        for finding in preflight.data_warnings(encoded):
            recorder.finding(finding, None)
        steps = self._announce(trainer, encoded, setup)
        if resumed is not None:
            step = checkpoints.step_of(resumed)
            recorder.ended_early = recorder.is_out_of_patience()
            if step >= steps or recorder.ended_early:  # only the result was missing
                weights = self._best(recorder) if recorder.ended_early else resumed
                return self._finish(setup, trainer, recorder, step, weights)
        with self._phase("training", "" if resumed is None else f"from {resumed.name}"):
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        step = trainer.state.global_step
        if recorder.stopped:
            self._result_event("stopped", step, recorder.progress)
            self.worker.update("stopped", step=step, reason=f"Stopped at step {step}; resumable.")
            return 0
        best = self._best(recorder) if recorder.ended_early else None
        return self._finish(setup, trainer, recorder, step, best)

    def _find_checkpoint(self) -> tuple[Path | None, Progress]:
        """The checkpoint to go on from, with its counters; a crash's leftovers are removed."""
        checkpoints.remove_leftovers(self.run.directory)
        folder, passed = checkpoints.newest_whole(self.run.directory)
        for sentence in passed:
            hint = f"Going on from {folder.name}." if folder else "Starting from the beginning."
            self.worker.event("finding", severity="warning", message=sentence, hint=hint, step=None)
        manifest = checkpoints.read(folder) if folder else None
        return folder, Progress.from_values(manifest.progress) if manifest else Progress()

    def _find_base(self) -> Path:
        """The folder of the base model; one that is named by its hub id is fetched."""
        from core.hub import fetch

        with self._phase("finding model", self.config.model.name_or_path):
            base = fetch(self.config.model.name_or_path, self.config.model.revision)
            preflight.check_model_folder(base)
        os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed lies on this disk now
        return base

    def load_rows(self, encoder: Encoder) -> Encoded:
        told = time.monotonic()

        def on_progress(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                self._stop_before_training()
                self.worker.event("progress", label="encoding", done=done, total=total, unit="rows")

        return load(self.config, encoder, on_progress)

    def _check_same_data(self, progress: Progress, encoded: Encoded) -> None:
        digest = encoded.digest()
        if progress.data and progress.data != digest:
            raise AfinaError(
                f'"{self.config.data.path}" gives other tokens than when this run began.',
                "Put the file (and the model's tokenizer) back as it was, or start a new run.",
            )
        progress.data = digest

    def build(
        self, setup: Setup, encoder: Encoder, encoded: Encoded, recorder: Recorder
    ) -> RunTrainer:
        from core.train import build

        with self._phase("loading model", setup.base.name):
            from transformers import AutoTokenizer

            model = build.load_model(setup)
            tokenizer = AutoTokenizer.from_pretrained(str(setup.base))
            preflight.check_model(self.config, encoder, encoded, model)
        with self._phase("preparing", setup.precision.device):
            layout = build.choose_layout(model, self.config, encoded)
            return build.build_trainer(setup, encoded, model, tokenizer, layout, recorder)

    def _announce(self, trainer: RunTrainer, encoded: Encoded, setup: Setup) -> int:
        """The `plan` event: what will be trained, on what, in how many steps; returns these."""
        parameters = list(trainer.model.parameters())
        loader = trainer.get_train_dataloader()
        accumulation = self.config.train.gradient_accumulation_steps
        per_epoch = -(-len(loader) // accumulation)
        steps = trainer.set_initial_training_values(trainer.args, loader)[6]
        trainable = sum(p.numel() for p in parameters if p.requires_grad)
        frozen = sum(p.numel() for p in parameters if not p.requires_grad)
        self.worker.event(
            "plan",
            parameters=trainable + frozen if setup.full else frozen,
            trainable=trainable,
            rows=len(encoded.train),
            eval_rows=len(encoded.evaluation),
            tokens_per_epoch=encoded.train.tokens,
            supervised_tokens=encoded.train.supervised_tokens,
            steps=steps,
            steps_per_epoch=per_epoch,
            device=setup.precision.device,
            dtype=setup.precision.dtype,
            packed=trainer.layout.packed,
            attention=trainer.layout.attention,
        )
        return steps

    def _finish(
        self,
        setup: Setup,
        trainer: RunTrainer,
        recorder: Recorder,
        step: int,
        weights: Path | None,
    ) -> int:
        """Saves and verifies the result: the trainer's weights, or those of a checkpoint."""
        from core.train import result

        with self._phase("saving result"):
            result.save(setup, trainer, recorder.progress, step, weights)
        recorder.final_findings(step)
        reason = self._why_early(recorder, step) if recorder.ended_early else ""
        self._result_event("done", step, recorder.progress)
        self.worker.update("done", step=step, reason=reason)
        return 0

    def _best(self, recorder: Recorder) -> Path | None:
        step = recorder.progress.best_step
        if step is None:
            return None
        folder = checkpoints.step_folder(self.run.directory, step)
        return folder if checkpoints.damage(folder) is None else None

    def _why_early(self, recorder: Recorder, step: int) -> str:
        progress = recorder.progress
        best = f"{progress.best_eval_loss:.4f} at step {progress.best_step}"
        return f"Ended early at step {step}: no eval loss was better than {best}."

    def _result_event(self, state: str, steps: int, progress: Progress) -> None:
        self.worker.event(
            "result",
            run=self.run.id,
            directory=str(self.run.directory),
            state=state,
            steps=steps,
            tokens=progress.tokens,
            train_s=round(progress.train_s, 3),
            tokens_per_s=progress.tokens_per_s,
            train_loss=progress.train_loss,
            eval_loss=progress.eval_loss,
            device_name=read_device().name,
        )

    @contextmanager
    def _phase(self, name: str, detail: str = "") -> Iterator[None]:
        self._stop_before_training()
        self.worker.event("phase", name=name, detail=detail)
        _log(f"{time.monotonic() - self.started:7.1f} s  {name} {detail}".rstrip())
        yield

    def _stop_before_training(self) -> None:
        """Leaves when a stop was asked for; other requests wait for the first step."""
        if self.requests.stop_asked():
            raise StoppedEarly
