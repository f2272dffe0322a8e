"""LLaMA-Factory in an environment of its own; a task that is packed uses its neat_packing.

The template is its `chatml`, which adds no system prompt: the tokens are those of the others.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
# pyright: reportAttributeAccessIssue=false
# the packages of another environment

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.train.meter import Meter, Task


def main() -> None:
    import torch
    from llamafactory.train.tuner import run_exp
    from transformers import TrainerCallback

    task, meter = Task.read(), Meter()
    meter.attach()
    losses: list[float] = []

    class Losses(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs) -> None:  # noqa: ANN001, ANN003
            if logs and "loss" in logs:
                losses.append(logs["loss"])

    folder = Path(task.folder)
    described = {
        "file_name": task.rows,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
    (folder / "dataset_info.json").write_text(json.dumps({"chats": described}))
    run_exp(
        {
            "model_name_or_path": task.base,
            "stage": "sft",
            "do_train": True,
            "finetuning_type": task.method,
            "lora_rank": task.rank,
            "lora_alpha": 2 * task.rank,
            "lora_target": "all",
            "dataset": "chats",
            "dataset_dir": str(folder),
            "template": "chatml",
            "cutoff_len": task.max_length,
            "packing": task.packed,
            "neat_packing": task.packed,
            "disable_gradient_checkpointing": task.checkpointing is False,
            "output_dir": str(folder / "llamafactory"),
            "per_device_train_batch_size": task.batch,
            "learning_rate": task.learning_rate,
            "lr_scheduler_type": "constant",
            "max_steps": task.all_steps,
            "bf16": True,
            "use_cpu": not torch.cuda.is_available(),
            "save_strategy": "no",
            "report_to": "none",
            "logging_steps": 1,
        },
        callbacks=[Losses()],
    )
    meter.report(losses)


if __name__ == "__main__":
    main()
