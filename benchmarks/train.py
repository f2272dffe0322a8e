"""Real tokens a second of a training step: Afina beside TRL as it comes, on the same rows.

    python benchmarks/train.py                      both methods, 5 M parameters
    python benchmarks/train.py --hidden 768 --method lora --rounds 3

Chats of about 70 tokens (log-normal, up to 499), batches of 8 rows. TRL gets the rows encoded, so
only the steps are compared. Tokens are real ones, never padding. Beside the wall clock stands the
time of the processor, which others at work on the machine hardly change.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import afina  # noqa: F401 - claims core
from core.config import Config, config_io
from core.data.encode.encoder import Encoder
from core.jobs import JobWorker
from core.runs import create_run
from core.samples import TINY_MODEL, TRAVEL
from core.train.feed import dataset
from core.train.model import precision
from core.train.progress import Progress
from core.train.requests import Requests
from core.train.setup import Setup
from core.train.training import Training, quiet_libraries

ROWS, BATCH, MAX_LENGTH, WARM_STEPS = 400, 8, 512, 2


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--hidden", type=int, default=256, help="width of the random Llama")
    words.add_argument("--layers", type=int, default=8)
    words.add_argument("--method", choices=["lora", "full", "both"], default="both")
    words.add_argument("--steps", type=int, default=8)
    words.add_argument("--rounds", type=int, default=3, help="interleaved; the median counts")
    options = words.parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        base = write_base(home / "base", options.hidden, options.layers)
        rows = write_chats(home / "chats.jsonl")
        for method in ["lora", "full"] if options.method == "both" else [options.method]:
            compare(home, base, rows, method, options)


def compare(home: Path, base: Path, rows: Path, method: str, options: argparse.Namespace) -> None:
    """Prints a line for each way to train, TRL's first."""

    def config(packing: str) -> Config:
        return config_io.parse(
            "",
            [
                f"model.name_or_path={base}",
                f"data.path={rows}",
                f"data.max_length={MAX_LENGTH}",
                "data.eval_fraction=0",
                f"method.kind={method}",
                "method.rank=8",
                f"train.max_steps={options.steps + WARM_STEPS + 1}",
                f"train.per_device_train_batch_size={BATCH}",
                f"train.packing={packing}",
            ],
        )

    ways: dict[str, Callable[[], Any]] = {
        "TRL as it comes": lambda: trl_trainer(home, config("off")),
        "Afina, rows": lambda: afina_trainer(home, config("off")),
        "Afina, packed": lambda: afina_trainer(home, config("on")),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, build in ways.items():
            measured[name].append(speed(build()))
    print(f"\n{method}, hidden {options.hidden}, {options.layers} layers")
    print(f"{'':18}{'tokens/s':>10}{'':>7}{'per CPU second':>16}")
    first: tuple[float, float] | None = None
    for name, pairs in measured.items():
        wall, cpu = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
        first = first or (wall, cpu)
        print(
            f"{name:18}{wall:>10,.0f}{wall / first[0]:>6.2f}x{cpu:>16,.0f}{cpu / first[1]:>6.2f}x"
        )


def speed(trainer: Any) -> tuple[float, float]:
    """Real tokens per second, by the wall clock and by the processor, warm steps left out."""
    from core.train.objectives.sft import real_tokens

    done: list[tuple[int, float, float]] = []
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        done.append((real_tokens(inputs), time.perf_counter(), time.process_time()))
        return step(model, inputs, *rest, **named)

    trainer.training_step = counted
    trainer.train()
    kept = done[WARM_STEPS:]  # up to the start of the last step: what a run saves comes after it
    tokens = sum(count for count, _, _ in kept[:-1])
    return tokens / (kept[-1][1] - kept[0][1]), tokens / (kept[-1][2] - kept[0][2])


def trl_trainer(home: Path, config: Config) -> Any:
    """SFTTrainer with its own defaults: padding, gradient checkpointing, bfloat16 by autocast."""
    import torch
    from transformers import AutoTokenizer
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from core.train.model.adapters import adapter

    trainer = SFTTrainer(
        model=config.model.name_or_path,
        args=SFTConfig(
            output_dir=str(home / "trl"),
            use_cpu=not torch.cuda.is_available(),
            max_steps=config.train.max_steps or 0,
            per_device_train_batch_size=BATCH,
            dataset_kwargs={"skip_prepare_dataset": True},
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=config.train.seed,
        ),
        train_dataset=encode(config).train.to_dataset(),
        processing_class=AutoTokenizer.from_pretrained(config.model.name_or_path),
        peft_config=adapter(config),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def afina_trainer(home: Path, config: Config) -> Any:
    """The trainer of a run, without its evaluations and checkpoints."""
    from core.train.recorder import Recorder

    run = create_run(home, config)
    worker = JobWorker(run.directory)
    requests = Requests(worker)
    base = Path(config.model.name_or_path)
    setup = Setup(run.directory, base, config, precision.choose(config))
    recorder = Recorder(worker, config, Progress(), requests, lambda step: 0)
    trainer = Training(run, worker, requests).build(
        setup, encoder_of(config), encode(config), recorder
    )
    trainer.args.eval_on_start = False
    return trainer


def encoder_of(config: Config) -> Encoder:
    return Encoder.load(config.model.name_or_path, config.data.max_length)


def encode(config: Config) -> dataset.Encoded:
    return dataset.load(config, encoder_of(config), lambda done, total: None)


def write_base(folder: Path, hidden: int, layers: int) -> Path:
    """A random Llama of this width with the sample model's tokenizer."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY_MODEL / name, folder / name)
    torch.manual_seed(0)
    heads = hidden // 32 if hidden < 512 else hidden // 64
    vocabulary = Encoder.load(folder).tokenizer.vocab_size
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=hidden * 11 // 4,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            tie_word_embeddings=True,
        )
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{size / 1e6:.1f} M parameters, {torch.get_num_threads()} threads")
    return folder


def write_chats(path: Path) -> Path:
    """Chats of the sample file's words; about half of each is the answer."""
    draw = random.Random(0)
    text = " ".join(
        message["content"]
        for line in TRAVEL.read_text(encoding="utf-8").splitlines()
        for message in json.loads(line)["messages"][1:]
    ).split()
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(ROWS):
            words = int(min(300, max(8, draw.lognormvariate(3.85, 0.6))))
            asked, said = (" ".join(draw.choices(text, k=words // 2)) for _ in range(2))
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
            file.write(json.dumps({"messages": turns}) + "\n")
    return path


if __name__ == "__main__":
    main()
