"""What a run will take, before it starts: parameters, memory, steps, disk and time.

For the Train pane and anyone who wants to know. Loads no torch; `look_at_data` loads tokenizers.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import msgspec

from core import paths
from core.config import Config
from core.data.files.rows import Span
from core.errors import AfinaError
from core.hardware import Device, has_fast_bfloat16, read_device
from core.hub import model_folder
from core.plan import memory, probe_cache
from core.plan.costs import optimizer_bytes
from core.plan.counting import trainable_parameters
from core.plan.data_facts import DataFacts
from core.plan.layout import LARGE_SHARE, encoded_bytes, open_rows, should_pack
from core.plan.lr_schedule import falling_steps, warmup_steps
from core.plan.memory import Memory
from core.plan.model_shape import ModelShape, read_shape
from core.plan.objective import objective_of
from core.plan.probe_result import Probe
from core.plan.speed import Load, Speed, expected
from core.runs.continue_from import resolve_config

SAMPLED_ROWS = 200
# Bits of a parameter in the usual types of GGUF; of q4_k_m the mean over its two types
EXPORTS = {"f16": 16.0, "q8_0": 8.5, "q4_k_m": 4.85}


class Course(msgspec.Struct, frozen=True):
    """The course of the learning rate in steps."""

    kind: str
    peak: float
    warmup_steps: int
    decay_from: int | None  # the step after which it falls; None where it never does


class Plan(msgspec.Struct, frozen=True):
    """Figures that are estimates where they are not counts; None is "not known"."""

    parameters: int
    trainable: int
    memory: Memory
    memory_free_bytes: int
    device: Device
    tokens_per_step: int  # at most; of real ones where the data are known
    steps: int | None
    checkpoint_bytes: int
    disk_bytes: int  # checkpoints and result together
    disk_free_bytes: int
    tokens: int | None  # that will go through the model
    tokens_per_s: float | None
    earlier_run: str = ""  # the run that the speed comes from
    encoded_bytes: int = 0  # memory that the rows take before the first step; 0 is not known
    speed_source: str = ""  # probe, or a source in core.plan.speed
    course: Course | None = None
    result_bytes: int = 0
    export_bytes: dict[str, int] = {}  # by the type of a GGUF file
    probe: Probe | None = None  # of this configuration, model, data and device

    @property
    def seconds(self) -> float | None:
        """Time of all steps, without evaluations and saving."""
        if self.tokens is None or not self.tokens_per_s:
            return None
        return self.tokens / self.tokens_per_s

    @property
    def advises_streaming(self) -> bool:
        """Whether the encoded rows take a large share of the memory that is free."""
        return self.encoded_bytes > LARGE_SHARE * self.memory_free_bytes

    @property
    def peak_bytes(self) -> int:
        """The memory of a run, measured where it was."""
        return self.probe.peak_bytes if self.probe else self.memory.total

    @property
    def fits(self) -> bool:
        if self.probe is not None:
            return self.probe.fits
        return self.memory.total <= self.memory_free_bytes

    @property
    def verdict(self) -> str:
        """Whether it fits, in words: an estimate is less sure than a measurement."""
        if self.fits:
            return "fits"
        return "does not fit" if self.probe else "may not fit"


def make_plan(home: Path, config: Config, data: DataFacts | None = None) -> Plan:
    """The plan of a configuration; raises AfinaError when the model's files can't be read."""
    config = resolve_config(home, config)
    folder = model_folder(config.model.name_or_path, config.model.revision)
    shape = read_shape(folder)
    device = read_device(config.launch.device)
    bfloat16 = computes_in_bfloat16(config, device)
    objective = objective_in(config, data)
    checkpoint, result = _folder_bytes(shape, config, bfloat16)
    steps, tokens_per_step = _steps(config, data)
    tokens = None if steps is None else steps * tokens_per_step
    probe = probe_cache.read(home, config, device)
    if probe is not None and probe.tokens_per_s:
        speed = Speed(probe.tokens_per_s, "probe")
        probe = msgspec.structs.replace(probe, seconds=tokens and tokens / probe.tokens_per_s)
    else:
        load = Load(data.tokens / data.rows, data.supervised_share, objective) if data else None
        speed = expected(home, config, device, shape, load)
    return Plan(
        parameters=shape.parameters,
        trainable=trainable_parameters(shape, config),
        memory=memory.estimate(shape, config, bfloat16, objective, device.kind, data),
        memory_free_bytes=device.memory_free_bytes,
        device=device,
        tokens_per_step=tokens_per_step,
        steps=steps,
        checkpoint_bytes=checkpoint,
        # one more than is kept: the newest is written before the oldest goes
        disk_bytes=checkpoint * (config.checkpoint.keep + 1) + result,
        disk_free_bytes=shutil.disk_usage(_existing(home)).free,
        tokens=tokens,
        tokens_per_s=speed.tokens_per_s,
        earlier_run=speed.run,
        encoded_bytes=0 if data is None or config.data.streaming else encoded_bytes(data.tokens),
        speed_source=speed.source,
        course=None if steps is None else _course(config, steps),
        result_bytes=result,
        export_bytes={name: round(shape.parameters * bits / 8) for name, bits in EXPORTS.items()},
        probe=probe,
    )


def _folder_bytes(shape: ModelShape, config: Config, bfloat16: bool) -> tuple[int, int]:
    """(a checkpoint, the result) on the disk, without the tokenizer's files."""
    trained = trainable_parameters(shape, config)
    optimizer = optimizer_bytes(shape, config)
    if config.method.kind != "full":
        adapter = 4 * trained * (2 if config.method.init_lora_weights == "pissa" else 1)
        return adapter + optimizer, adapter
    frozen = shape.parameters - trained
    weights = 4 * trained + (2 if bfloat16 else 4) * frozen
    return weights + optimizer, shape.parameters * (2 if bfloat16 else 4)


def _course(config: Config, steps: int) -> Course:
    train = config.train
    never = train.lr_scheduler_type in ("constant", "constant_with_warmup")
    falls = None if never else steps - falling_steps(config, steps)
    return Course(train.lr_scheduler_type, train.learning_rate, warmup_steps(config, steps), falls)


def objective_in(config: Config, data: DataFacts | None) -> str:
    """The objective as far as it is known; sft where only the rows could tell."""
    if config.train.objective == "auto":
        return data.objective if data else "sft"
    return config.train.objective


def look_at_data(config: Config) -> DataFacts:
    """Rows and tokens of an epoch of a configuration's data, from up to 200 rows spread over it.

    Rows of a mixture count as often as they are seen.
    """
    from core.data.encode.encoder import encode_rows
    from core.data.recipe import Recipe

    config = resolve_config(paths.home(), config)
    recipe = Recipe.of(config)
    encoder = recipe.encoder()
    with open_rows(config) as source:
        spans = source.weights() if config.data.mix else [Span(0, len(source), 1.0)]
        sampled = min(len(source), SAMPLED_ROWS)
        rows = [position * len(source) // sampled for position in range(sampled)]
        reader = recipe.reader(source)
        encodings = list(encode_rows(source, reader, encoder, rows))
    weights = [next(s.weight for s in spans if s.start <= row < s.end) for row in rows]
    seen = sum((span.end - span.start) * span.weight for span in spans)
    usable = [pair for pair in zip(encodings, weights, strict=True) if pair[0].usable]
    if not usable:
        raise AfinaError(
            f'None of {sampled:,} rows of "{config.data.path}" can be trained on.',
            "`afina data check` lists the problems row by row.",
        )
    trained = 1.0 if config.data.eval_path else 1.0 - config.data.eval_fraction
    share = sum(weight for _, weight in usable)
    count = max(1, round(seen * trained * share / sum(weights)))
    sides = [(side, weight) for item, weight in usable for side in (item, item.rejected) if side]
    tokens = sum(len(side.ids) * weight for side, weight in sides)
    supervised = sum(side.supervised_tokens * weight for side, weight in sides)
    objective = objective_of(config, reader.shape)
    longest = max(len(side.ids) for side, _ in sides)
    supervised_share = supervised / tokens
    return DataFacts(count, round(tokens / share * count), supervised_share, objective, longest)


def _steps(config: Config, data: DataFacts | None) -> tuple[int | None, int]:
    """Optimizer steps, if they can be known, and tokens in each."""
    train = config.train
    rows_per_step = train.per_device_train_batch_size * train.gradient_accumulation_steps
    most = rows_per_step * config.data.max_length
    if data is None:
        return train.max_steps, most
    packed = objective_in(config, data) == "sft" and should_pack(config, data.tokens)
    units = math.ceil(data.tokens / config.data.max_length) if packed else data.rows
    per_epoch = max(1, math.ceil(units / rows_per_step))
    steps = train.max_steps or math.ceil(per_epoch * train.num_train_epochs)
    return steps, min(most, round(data.tokens / per_epoch))


def computes_in_bfloat16(config: Config, device: Device) -> bool:
    """Whether the matrix products of a run will be in bfloat16, as far as it shows before one."""
    if config.model.dtype != "auto":
        return config.model.dtype == "bfloat16"
    return device.kind == "cuda" or has_fast_bfloat16()


def _existing(path: Path) -> Path:
    return next(folder for folder in [path, *path.parents] if folder.exists())
