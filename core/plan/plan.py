"""What a run will take, before it starts: parameters, memory, steps, disk and, if known, time.

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
from core.events import Event
from core.hardware import Device, has_fast_bfloat16, read_device
from core.hub import model_folder
from core.plan import memory
from core.plan.memory import Memory
from core.runs import Run, all_runs
from core.train.feed.dataset import LARGE_SHARE, encoded_bytes, open_rows, should_pack
from core.train.lineage import settled
from core.train.objectives.choice import objective_of

SAMPLED_ROWS = 200
EARLIER_RUNS = 20  # that are looked at for a speed
_TAIL_BYTES = 1 << 14  # of an event file: the result stands at its end


class DataFacts(msgspec.Struct, frozen=True):
    """What the plan needs to know of the rows; estimated from some of them."""

    rows: int  # that are trained on in an epoch
    tokens: int  # of these, cut at max_length
    supervised_share: float
    objective: str = "sft"


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
    tokens_per_s: float | None  # of an earlier run like this one, on this device
    earlier_run: str = ""  # the run that the speed comes from
    encoded_bytes: int = 0  # memory that the rows take before the first step; 0 is not known

    @property
    def seconds(self) -> float | None:
        if self.tokens is None or not self.tokens_per_s:
            return None
        return self.tokens / self.tokens_per_s

    @property
    def advises_streaming(self) -> bool:
        """Whether the encoded rows take a large share of the memory that is free."""
        return self.encoded_bytes > LARGE_SHARE * self.memory_free_bytes

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.memory_free_bytes


def make_plan(home: Path, config: Config, data: DataFacts | None = None) -> Plan:
    """The plan of a configuration; raises AfinaError when the model's files can't be read."""
    config = settled(home, config)
    folder = model_folder(config.model.name_or_path, config.model.revision)
    shape = memory.read_shape(folder)
    device = read_device(config.launch.device)
    bfloat16 = _computes_in_bfloat16(config, device)
    estimate = memory.estimate(shape, config, bfloat16, objective_in(config, data))
    trainable = memory.trainable_parameters(shape, config)
    checkpoint = 4 * trainable + 8 * trainable  # weights and AdamW's moments, in float32
    result = 4 * trainable if config.method.kind == "lora" else shape.stored_bytes
    steps, tokens_per_step = _steps(config, data)
    speed, earlier = earlier_speed(home, config, device)
    return Plan(
        parameters=shape.parameters,
        trainable=trainable,
        memory=estimate,
        memory_free_bytes=device.memory_free_bytes,
        device=device,
        tokens_per_step=tokens_per_step,
        steps=steps,
        checkpoint_bytes=checkpoint,
        # one more than is kept: the newest is written before the oldest goes
        disk_bytes=checkpoint * (config.checkpoint.keep + 1) + result,
        disk_free_bytes=shutil.disk_usage(_existing(home)).free,
        tokens=None if steps is None else steps * tokens_per_step,
        tokens_per_s=speed,
        earlier_run=earlier,
        encoded_bytes=0 if data is None or config.data.streaming else encoded_bytes(data.tokens),
    )


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

    config = settled(paths.home(), config)
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
    kept = 1.0 if config.data.eval_path else 1.0 - config.data.eval_fraction
    share = sum(weight for _, weight in usable)
    count = round(seen * kept * share / sum(weights))
    sides = [(side, weight) for item, weight in usable for side in (item, item.rejected) if side]
    tokens = sum(len(side.ids) * weight for side, weight in sides)
    supervised = sum(side.supervised_tokens * weight for side, weight in sides)
    objective = objective_of(config, reader.shape)
    return DataFacts(count, round(tokens / share * count), supervised / tokens, objective)


def earlier_speed(home: Path, config: Config, device: Device) -> tuple[float | None, str]:
    """Tokens a second of the newest run with this model and method on this device, and its id."""
    for run in all_runs(home)[:EARLIER_RUNS]:
        try:
            before = run.config
        except AfinaError:
            continue  # a configuration of another version
        same = (
            Path(before.model.name_or_path).name == Path(config.model.name_or_path).name
            and before.method.kind == config.method.kind
            and before.train.gradient_checkpointing == config.train.gradient_checkpointing
        )
        result = _result(run) if same else None
        if result and result.get("device_name") == device.name and result.get("tokens_per_s"):
            return float(result["tokens_per_s"]), run.id
    return None, ""


def _result(run: Run) -> Event | None:
    """The result event at the end of a run's events, without reading all of them."""
    try:
        with open(run.events_path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            event = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(event, dict) and event.get("kind") == "result":
            return event
    return None


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


def _computes_in_bfloat16(config: Config, device: Device) -> bool:
    if config.model.dtype != "auto":
        return config.model.dtype == "bfloat16"
    return device.kind == "cuda" or has_fast_bfloat16()


def _existing(path: Path) -> Path:
    return next(folder for folder in [path, *path.parents] if folder.exists())
