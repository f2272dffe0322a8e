"""Olive's LoRA in an environment of its own.

It joins all chats and cuts them into rows of max_length that look into each other, and learns every
token: not the same task, so its losses are not comparable; its speed is.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
# pyright: reportAttributeAccessIssue=false
# the packages of another environment

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.train.meter import Meter, Task

LAYERS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


def main() -> None:
    from olive.cli.launcher import main as olive
    from transformers import Trainer

    task, meter = Task.read(), Meter()
    meter.attach()
    losses: list[float] = []
    log = Trainer.log

    def logged(trainer, logs, *rest) -> None:  # noqa: ANN001, ANN002
        losses.extend([logs["loss"]] if "loss" in logs else [])
        log(trainer, logs, *rest)

    Trainer.log = logged
    words = {
        "model_name_or_path": task.base,
        "output_path": str(Path(task.folder) / "olive"),
        "method": task.method,
        "lora_r": task.rank,
        "lora_alpha": 2 * task.rank,
        "target_modules": LAYERS,
        "data_name": "json",
        "data_files": task.rows,
        "train_split": "train",
        "max_seq_len": task.max_length,
        "per_device_train_batch_size": task.batch,
        "gradient_accumulation_steps": 1,
        "max_steps": task.all_steps,
        "learning_rate": task.learning_rate,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
    }
    pairs = [part for name, value in words.items() for part in (f"--{name}", str(value))]
    sys.argv = ["olive", "finetune", *pairs, "--use_chat_template"]
    olive()
    meter.report(losses)


if __name__ == "__main__":
    main()
