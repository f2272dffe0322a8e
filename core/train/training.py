"""One run from its configuration to its result: the phases that its process goes through.

Every phase is an event and a line in log.txt. What happens at each step is in callback.py.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.config import Config
from core.data.recipe import Recipe
from core.disk import takes_no_more
from core.errors import AfinaError
from core.jobs import JobWorker
from core.runs import lineage
from core.runs.finding import Finding
from core.runs.run import Run
from core.train.checkpoint import manifest as checkpoints
from core.train.checkpoint import provenance, resume
from core.train.checkpoint.progress import Progress
from core.train.checks import preflight
from core.train.checks.findings import Diverged
from core.train.control import Requests
from core.train.event_log import tell, tell_plan
from core.train.finish import Ending
from core.train.loader.dataset import Encoded, load
from core.train.recovery import overrides
from core.train.recovery.retry import Retry
from core.train.setup import Setup

if TYPE_CHECKING:
    from core.data.encode.encoder import Encoder
    from core.train.callback import RunCallback
    from core.train.objectives.recorded import RecordedTrainer

PROGRESS_EVERY_S = 0.5


class EndedEarly(Exception):
    """A stop or a pause was asked for before the first step; there is nothing to save."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state  # "stopped" or "paused"


class Training:
    """One run from its configuration to its result."""

    def __init__(self, run: Run, worker: JobWorker, requests: Requests) -> None:
        self.run = run
        self.worker = worker
        self.requests = requests
        self.retry = Retry(run, worker, run.config)
        self.config: Config = self.retry.config
        self.parameters = 0  # of the base model, once it is loaded
        self.started = time.monotonic()

    def go(self) -> int:
        """Trains to the end, a stop or a failure, which is raised; returns the exit code."""
        resumed, progress = self._find_checkpoint()
        base = self._find_base()
        self._compare(base, resumed)
        encoder, encoded = self._read_data(base, progress)
        setup, callback, trainer = self._prepare(base, encoder, encoded, progress)
        for finding in preflight.data_warnings(self.config, encoded):
            callback.finding(finding, None)
        steps = tell_plan(self.worker, trainer, encoded, self.parameters)
        ending = Ending(self.run, self.worker, (setup, trainer, callback), self._phase)
        if resumed is not None:
            step = checkpoints.step_of(resumed)
            callback.go_on_from(step, self.run.events())
            if step >= steps or callback.ended_early:  # only the result was missing
                return ending.finish(step, resumed)
        self._stop_before_training()
        self._phase("training", "" if resumed is None else f"from {resumed.name}")
        self._train(trainer, callback, resumed, encoded.objective)
        return ending.finish(trainer.state.global_step, None)

    def _train(
        self, trainer: RecordedTrainer, callback: RunCallback, resumed: Path | None, objective: str
    ) -> None:
        """Steps to the end of the run, or to where it was asked to end.

        Raises Again where it can go on in another way than it began.
        """
        from core.train.callback import PatienceOver

        progress = callback.progress
        trainer.args.eval_on_start = not progress.losses or progress.evaluation_owed
        failed: Exception | None = None
        try:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        except PatienceOver:
            return
        except Diverged as error:
            failed = error
        except Exception as error:
            if not overrides.is_out_of_memory(error):
                raise
            failed = error.with_traceback(None)  # its frames hold what the step had made
            failed.__context__ = None
        if isinstance(failed, Diverged):
            self.retry.after_divergence(failed, callback.losses)
            raise failed
        if failed is not None:
            self.retry.after_oom(trainer, callback, objective)

    def _find_checkpoint(self) -> tuple[Path | None, Progress]:
        """The checkpoint to go on from, with its counters; a crash's leftovers are removed."""
        checkpoints.remove_leftovers(self.run.directory)
        folder, passed = checkpoints.newest_whole(self.run.directory)
        for sentence in passed:
            hint = f"Going on from {folder.name}." if folder else "Starting from the beginning."
            tell(self.worker, Finding("warning", sentence, hint), None)
        manifest = checkpoints.read(folder) if folder else None
        progress = Progress.from_values(manifest.progress) if manifest else Progress()
        progress.count_by(self.config.train.per_device_train_batch_size)
        return folder, progress

    def _find_base(self) -> Path:
        """The folder of the base model; one that is named by its hub id is fetched."""
        from core.hub import fetch

        if begin := lineage.record(self.run, self.run.directory.parents[1]):
            tell(self.worker, lineage.told(self.run, begin), None)
        self._phase("finding model", self.config.model.name_or_path)
        # the very one that was fetched when the run first began, however often it is resumed
        base = fetch(self.run.base, self.run.base_revision)
        preflight.check_model_folder(base)
        self.run.use_base(base)  # a branch of the hub may move on: this is what is trained on
        os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed lies on this disk now
        return base

    def _compare(self, base: Path, resumed: Path | None) -> None:
        """Tells what has changed since the run last began; raises AfinaError where that decides."""
        found = resume.differences(self.run, base) if resumed else []
        refused = resume.refusal(self.run, found)
        if refused is not None and not resume.is_forced(self.run):
            raise refused
        for each in found:
            severity = "warning" if each.meaning else "note"
            said = f"Since the run last began, {each}."
            tell(self.worker, Finding(severity, said), None)

    def _read_data(self, base: Path, progress: Progress) -> tuple[Encoder, Encoded]:
        self._stop_before_training()
        self._phase("reading data", Path(self.config.data.path).name)
        fetched = msgspec.structs.replace(Recipe.of(self.config), model=str(base), revision=None)
        encoder = fetched.encoder()
        encoded = self.load_rows(encoder)
        preflight.check_data(self.config, encoder, encoded)
        self._check_same_data(progress, encoded)
        return encoder, encoded

    def _prepare(
        self, base: Path, encoder: Encoder, encoded: Encoded, progress: Progress
    ) -> tuple[Setup, RunCallback, RecordedTrainer]:
        self._stop_before_training()
        self._phase("loading packages")
        preflight.check_family(base, encoded.objective)
        quiet_libraries()
        from core.train.callback import RunCallback
        from core.train.checkpoint.result import keep_companions
        from core.train.model import precision
        from core.train.watch_prompts import Watch

        chosen = precision.choose(self.config, progress.dtype)
        progress.dtype = chosen.dtype
        laid = self.retry.frozen.train.per_device_train_batch_size
        setup = Setup(self.run.directory, base, self.config, chosen, laid)
        keep_companions(setup)
        seen = provenance.look(self.retry.frozen, base, chosen.device, chosen.dtype)
        provenance.keep(self.run.directory, seen)
        resume.spend_force(self.run)
        watch = Watch(setup, encoder, encoded.train.system_prompt, self.requests.stop_asked)
        callback = RunCallback(self.worker, self.config, progress, self.requests, watch.answer)
        for finding in precision.findings(chosen):
            callback.finding(finding, None)
        watch.trainer = self.build(setup, encoder, encoded, callback)
        return setup, callback, watch.trainer

    def load_rows(self, encoder: Encoder) -> Encoded:
        """Every row, encoded; says how far it is."""
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
        if progress.data and progress.data != digest and not resume.is_forced(self.run):
            raise AfinaError(
                f'"{self.config.data.path}" gives other tokens than when this run began.',
                "Put the file (and the model's tokenizer) back as it was, or start a new run.",
            )
        progress.data = digest

    def build(
        self, setup: Setup, encoder: Encoder, encoded: Encoded, callback: RunCallback
    ) -> RecordedTrainer:
        """The trainer with its model, checked against the rows."""
        from core.train import build
        from core.train.model import target_modules
        from core.train.model.load import load_model
        from core.train.model.tokenizer import load_tokenizer

        self._stop_before_training()
        self._phase("loading model", setup.base.name)
        model = load_model(setup, encoded)
        self.parameters = model.num_parameters()  # before an adapter comes on top
        tokenizer = load_tokenizer(setup.base)
        preflight.check_model(self.config, encoder, encoded, model)
        for finding in target_modules.findings(self.config, model):
            callback.finding(finding, None)
        self._stop_before_training()
        self._phase("preparing", setup.precision.device)
        layout = build.choose_layout(model, self.config, encoded, setup.precision.autocast)
        parts = build.Parts(setup, encoded, model, tokenizer, callback)
        trainer = build.build_trainer(parts, layout)
        if layout.packed and encoded.streamed is None:
            encoded.train.release()  # the bins hold a copy of its tokens
        return trainer

    def _phase(self, name: str, detail: str = "") -> None:
        self.worker.event("phase", name=name, detail=detail)
        log(f"{time.monotonic() - self.started:7.1f} s  {name} {detail}".rstrip())

    def _stop_before_training(self) -> None:
        """Leaves when a stop was asked for; other requests wait for the first step."""
        if self.requests.stop_asked():
            raise EndedEarly(self.requests.ending)


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


def log(text: str) -> None:
    """Writes a line to stderr, which is the run's log.txt; a full disk costs the line."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is log.txt
    except OSError as error:
        if not takes_no_more(error):
            raise
