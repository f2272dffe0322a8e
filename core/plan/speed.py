"""How fast a run will go: as an earlier one did on this device, else by its operations. No torch.

Operations alone were within a factor of 3 of the truth beside real runs on a CPU: they tell minutes
from hours. A probe measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from core.config import Config
from core.errors import AfinaError
from core.events import Event
from core.hardware import Device, has_fast_bfloat16
from core.plan.model_shape import ModelShape, read_shape
from core.runs.run import Run, all_runs

EARLIER_RUNS = 20  # that are looked at
NEAR_LENGTH = 2.0  # rows up to so many times as long, or as short, go about as fast
_HEAD_BYTES, _TAIL_BYTES = 1 << 14, 1 << 14  # of an event file: plan and result stand there
# Peak of dense bfloat16 products in 1e12 operations a second, by the driver's name of the GPU: the
# makers' data sheets, without sparsity. The first name that fits counts.
GPU_TERAFLOPS = {
    "B200": 2250, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312,
    "L40S": 362, "L40": 181, "L4": 121, "A40": 150, "A10": 125, "6000 Ada": 364, "A6000": 155,
    "5090": 210, "4090": 165, "4080": 97, "3090": 71, "V100": 125, "T4": 65,
}  # fmt: skip
UNKNOWN_GPU_TERAFLOPS = 60
REACHED_GPU = 0.35  # of it that training reaches
CLOCK_HZ, CPU_OPERATIONS = 2.5e9, 32  # a core's fused products of 8 float32 values, two a cycle
REACHED_CPU = 0.5  # of it that training reaches in float32
BFLOAT16_GAIN = 2.0  # of a step, on a processor that multiplies bfloat16 (facts of a trial)

Source = Literal["probe", "run", "scaled", "assumed", ""]


class Load(msgspec.Struct, frozen=True):
    """What goes through a model: what operations a token depend on."""

    row_tokens: float
    scored_share: float  # tokens whose logits are computed, of all
    objective: str = "sft"


class Speed(msgspec.Struct, frozen=True):
    """Tokens a second and who says so.

    probe: two steps were measured; run: an earlier run like this one; scaled: another run on this
    device, by the operations of both; assumed: a peak of the device that nobody measured.
    """

    tokens_per_s: float | None = None
    source: Source = ""
    run: str = ""  # id of the earlier one


def expected(
    home: Path, config: Config, device: Device, shape: ModelShape, load: Load | None
) -> Speed:
    """The best word there is on the speed of a run."""
    like, run = earlier_speed(home, config, device, load.objective if load else None)
    if like is not None:
        return Speed(like, "run", run)
    load = load or Load(config.data.max_length / 2, 0.5)
    needed = _operations(shape, config, load)
    if not needed:
        return Speed()
    for earlier in all_runs(home)[:EARLIER_RUNS]:
        reached = _reached(earlier, device)
        if reached:
            return Speed(reached / needed, "scaled", earlier.id)
    return Speed(_assumed(config, device) / needed, "assumed")


def earlier_speed(
    home: Path, config: Config, device: Device, objective: str | None = None
) -> tuple[float | None, str]:
    """Tokens a second of the newest run like this one on this device, and its id.

    `objective` is what the rows make of train.objective, where they are known.
    """
    for run in all_runs(home)[:EARLIER_RUNS]:
        try:
            before = run.config
        except AfinaError:
            continue  # a configuration of another version
        result = _result(run) if _is_like(before, config) else None
        if result and objective and (_planned(run) or {}).get("objective") != objective:
            continue
        if result and result.get("device_name") == device.name and result.get("tokens_per_s"):
            return float(result["tokens_per_s"]), run.id
    return None, ""


def _is_like(before: Config, config: Config) -> bool:
    """Whether runs go about as fast: the same model, method, optimizer and layout of rows."""

    def what(c: Config) -> tuple[Any, ...]:
        method, train = c.method, c.train
        return (
            Path(c.model.name_or_path).name, c.model.dtype, method.kind, method.quantization,
            method.dora, method.trainable_layers, train.optim, train.gradient_checkpointing,
            train.packing, train.custom_loss, train.objective,
        )  # fmt: skip

    lengths = sorted((before.data.max_length, config.data.max_length))
    return what(before) == what(config) and lengths[1] <= NEAR_LENGTH * lengths[0]


def _reached(run: Run, device: Device) -> float | None:
    """Operations a second of an earlier run on this device; None where they aren't known."""
    result, planned = _result(run), _planned(run)
    if not result or not planned or result.get("device_name") != device.name:
        return None
    try:
        config = run.config
        shape = read_shape(Path(config.model.name_or_path))
    except (AfinaError, OSError):
        return None
    speed, rows = result.get("tokens_per_s"), planned.get("rows")
    tokens = planned.get("tokens_per_epoch")
    if not speed or not rows or not tokens:
        return None
    scored = planned.get("supervised_tokens", tokens) / tokens
    load = Load(tokens / rows, scored, planned.get("objective", "sft"))
    return float(speed) * _operations(shape, config, load)


def _operations(shape: ModelShape, config: Config, load: Load) -> float:
    """Operations for one token of a run."""
    from core.plan.flops import Batch, step_flops

    tokens = 1000.0
    batch = Batch(tokens, tokens * load.row_tokens, tokens * load.scored_share)
    return step_flops(shape, config, batch, load.objective).done / tokens


def _assumed(config: Config, device: Device) -> float:
    """Operations a second that training reaches on a device by what it is called."""
    if device.kind == "cuda":
        named = (peak for name, peak in GPU_TERAFLOPS.items() if name in device.name)
        return 1e12 * REACHED_GPU * next(named, UNKNOWN_GPU_TERAFLOPS)
    import psutil

    fast = has_fast_bfloat16() and config.model.dtype != "float32"
    cores = psutil.cpu_count(logical=False) or 1
    return cores * CLOCK_HZ * CPU_OPERATIONS * REACHED_CPU * (BFLOAT16_GAIN if fast else 1.0)


def _result(run: Run) -> Event | None:
    """The result event at the end of a run's events, without reading all of them."""
    return _event(run, "result", at_end=True)


def _planned(run: Run) -> Event | None:
    return _event(run, "plan", at_end=False)


def _event(run: Run, kind: str, at_end: bool) -> Event | None:
    """The event nearest to an end of a run's events."""
    try:
        with open(run.events_path, "rb") as file:
            if at_end:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read(max(_HEAD_BYTES, _TAIL_BYTES)).splitlines()
    except OSError:
        return None
    for line in reversed(lines) if at_end else lines:
        try:
            event = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue  # cut off, or of a crash
        if isinstance(event, dict) and event.get("kind") == kind:
            return event
    return None
