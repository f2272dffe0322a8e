"""How near a probe comes to the peak of the run that follows it.

    python benchmarks/probe.py [--steps N] [--only WORD] [--home DIR]

Each configuration is probed, then trained for some steps in a worker of its own; the run's peak is
that of its `result` event. The model has random weights and the sample model's tokenizer; the rows
are the sample's. Prints a table: predicted, real, predicted / real; and what the formula said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import afina  # noqa: E402, F401 - claims core before it is imported
from core.config import Config, config_io  # noqa: E402
from core.figures import size  # noqa: E402
from core.jobs import ENDED  # noqa: E402
from core.paths import SAMPLE_DATA  # noqa: E402
from core.plan.plan import look_at_data, make_plan  # noqa: E402
from core.plan.probe import Probing
from core.plan.probe_result import Probe
from core.runs.run import create_run  # noqa: E402

PACKED = "train.packing=on"
# name: (hidden, blocks), and what is laid over the defaults
CASES: dict[str, tuple[tuple[int, int], list[str]]] = {
    "full": ((512, 8), ["method.kind=full", PACKED]),
    "full small": ((256, 6), ["method.kind=full", PACKED]),
    "full unpacked": ((256, 6), ["method.kind=full", "train.packing=off"]),
    "full checkpointing": (
        (512, 8),
        ["method.kind=full", PACKED, "train.gradient_checkpointing=true"],
    ),
    "full accumulated": (
        (512, 8),
        ["method.kind=full", PACKED, "train.gradient_accumulation_steps=2"],
    ),
    "full 8-bit": ((512, 8), ["method.kind=full", PACKED, "train.optim=adamw_8bit"]),
    "lora": ((512, 8), [PACKED]),
    "lora small": ((256, 6), [PACKED]),
    "lora unpacked": ((512, 8), ["train.packing=off"]),
    "lora checkpointing": ((512, 8), [PACKED, "train.gradient_checkpointing=true"]),
    "dora": ((256, 6), [PACKED, "method.dora=true"]),
    "qlora": ((512, 8), [PACKED, "method.quantization=nf4"]),
}


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    words.add_argument("--steps", type=int, default=8, help="of the run after the probe")
    words.add_argument("--only", default="", help="cases whose name holds this")
    words.add_argument(
        "--home", type=Path, help="where models and runs go; else a temporary folder"
    )
    given = words.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="afina-benchmark-"))
    print(
        f"{'case':20} {'predicted':>10} {'real':>10} {'pred/real':>9} {'formula':>8} {'probe s':>8}"
    )
    ratios = []
    for name, (shape, options) in CASES.items():
        if given.only not in name:
            continue
        config = config_of(model(home, *shape), options)
        began = time.monotonic()
        probe = probed(config, home)
        took = time.monotonic() - began
        real = trained(config, home, given.steps)
        plan = make_plan(home, config, look_at_data(config))
        ratios.append(probe.peak_bytes / real)
        print(
            f"{name:20} {size(probe.peak_bytes):>10} {size(real):>10} {ratios[-1]:9.3f} "
            f"{plan.memory.total / real:8.2f} {took:8.1f}",
            flush=True,
        )
    print(f"predicted / real: {min(ratios):.3f} to {max(ratios):.3f}")
    if given.home is None:
        shutil.rmtree(home)


def config_of(folder: Path, options: list[str]) -> Config:
    given = [
        f"model.name_or_path={folder}",
        f"data.path={SAMPLE_DATA / 'travel.jsonl'}",
        "train.per_device_train_batch_size=4",
        "launch.device=auto",
        *options,
    ]
    return config_io.parse("", given)


def probed(config: Config, home: Path) -> Probe:
    for event in Probing(config, home).events():
        if event["kind"] == "probe":
            return event["result"]
        if event["kind"] == "failure":
            raise SystemExit(f"{event['message']} {event['hint']}")
    raise SystemExit("The probe ended without a result.")


def trained(config: Config, home: Path, steps: int) -> int:
    """The peak of a run of so many steps, its evaluations and its saving included."""
    words = {"max_steps": steps}
    values = config_io.to_values(config)
    values["train"] |= words
    run = create_run(home, config_io.from_values(values))
    run.start("train")
    while run.state().state not in ENDED:
        time.sleep(0.2)
    results = [event for event in run.events() if event["kind"] == "result"]
    if not results:
        raise SystemExit(f"The run failed: {run.state().reason}")
    return int(results[-1]["peak_bytes"])


def model(home: Path, hidden: int, blocks: int) -> Path:
    """A Llama of random weights under the sample's tokenizer; made once."""
    folder = home / "models" / f"llama-{hidden}-{blocks}"
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sample = SAMPLE_DATA / "tiny-travel"
    config = AutoConfig.from_pretrained(sample)
    config.hidden_size, config.num_hidden_layers = hidden, blocks
    config.intermediate_size, config.head_dim = 3 * hidden, hidden // config.num_attention_heads
    config.layer_types = None
    made = AutoModelForCausalLM.from_config(config)
    made.to(torch.bfloat16).save_pretrained(folder)
    for path in sample.glob("*"):
        if path.suffix in (".json", ".jinja") and not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    return folder


if __name__ == "__main__":
    main()
