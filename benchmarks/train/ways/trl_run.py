"""TRL's SFTTrainer: as it comes, or packed by best fit with transformers' own attention.

Gets the rows encoded by Afina, so that the very same tokens are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.train.meter import Meter, Task


def main() -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from core.data.encode.encoder import Encoder, encode_rows
    from core.data.files.source import open_source
    from core.data.recipe import Recipe

    task, meter = Task.read(), Meter()
    meter.attach()
    encoder = Encoder.load(task.base, task.max_length)
    with open_source(task.rows) as source:
        reader = Recipe(model=task.base).reader(source)
        encodings = encode_rows(source, reader, encoder, range(len(source)))
        rows = [{"input_ids": e.ids, "labels": encoder.labels(e)} for e in encodings]
    data = Dataset.from_list(rows)
    chosen = task.checkpointing
    more: dict[str, Any] = {} if chosen is None else {"gradient_checkpointing": chosen}
    if task.quantization == "nf4":
        more["model_init_kwargs"] = {"quantization_config": _nf4()}
    if task.packed:
        from trl.data_utils import pack_dataset

        data = pack_dataset(data, seq_length=task.max_length, strategy="bfd")
    trainer = SFTTrainer(
        model=task.base,
        args=SFTConfig(
            output_dir=str(Path(task.folder) / "trl"),
            use_cpu=not torch.cuda.is_available(),
            max_steps=task.all_steps,
            per_device_train_batch_size=task.batch,
            learning_rate=task.learning_rate,
            lr_scheduler_type="constant",
            dataset_kwargs={"skip_prepare_dataset": True},
            packing=task.packed,
            max_length=task.max_length,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            **more,
        ),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(task.base),
        peft_config=_adapter(task),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    meter.report([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])


def _nf4():  # noqa: ANN202 - transformers' configuration
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _adapter(task: Task):  # noqa: ANN202 - PEFT's configuration
    from peft import LoraConfig

    if task.method == "full":
        return None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=task.rank,
        lora_alpha=2 * task.rank,
        target_modules="all-linear",
    )


if __name__ == "__main__":
    main()
