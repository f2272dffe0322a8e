"""Axolotl in an environment of its own; its LoRA kernels are Triton's and off without a GPU."""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
# pyright: reportAttributeAccessIssue=false
# the packages of another environment

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.train.meter import Meter, Task


def main() -> None:
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.train import train
    from transformers import training_args

    # it can't say use_cpu, without which transformers takes bfloat16 for a matter of GPUs
    training_args.is_torch_bf16_gpu_available = lambda: True
    task, meter = Task.read(), Meter()
    meter.attach()
    folder = Path(task.folder)
    config = {
        "base_model": task.base,
        "adapter": "lora" if task.method == "lora" else None,
        "lora_r": task.rank,
        "lora_alpha": 2 * task.rank,
        "lora_target_linear": True,
        "lora_mlp_kernel": False,
        "lora_qkv_kernel": False,
        "lora_o_kernel": False,
        "chat_template": "tokenizer_default",
        "datasets": [{"path": task.rows, "ds_type": "json", "type": "chat_template"}],
        "dataset_prepared_path": str(folder / "prepared"),
        "output_dir": str(folder / "axolotl"),
        "sequence_len": task.max_length,
        "sample_packing": task.packed,
        "micro_batch_size": task.batch,
        "gradient_accumulation_steps": 1,
        "max_steps": task.all_steps,
        "learning_rate": task.learning_rate,
        "lr_scheduler": "constant",
        "optimizer": "adamw_torch",
        "bf16": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "val_set_size": 0,
    }
    if task.checkpointing is not None:
        config["gradient_checkpointing"] = task.checkpointing
    path = folder / "axolotl.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in config.items() if v is not None}))
    chosen = load_cfg(str(path))
    _, _, trainer = train(cfg=chosen, dataset_meta=load_datasets(cfg=chosen))
    meter.report([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])


if __name__ == "__main__":
    main()
