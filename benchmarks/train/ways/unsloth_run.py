"""Unsloth in an environment of its own, which needs a GPU even to be imported."""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false
# pyright: reportAttributeAccessIssue=false
# the packages of another environment

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.train.meter import Meter, Task

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel  # first: it changes what is imported after it

    task, meter = Task.read(), Meter()
    model, tokenizer = FastLanguageModel.from_pretrained(
        task.base,
        max_seq_length=task.max_length,
        load_in_4bit=task.quantization == "nf4",
        full_finetuning=task.method == "full",
    )
    if task.method == "lora":
        model = FastLanguageModel.get_peft_model(
            model,
            r=task.rank,
            lora_alpha=2 * task.rank,
            target_modules=LAYERS,
            use_gradient_checkpointing="unsloth" if task.checkpointing else False,
        )

    def as_text(rows: dict[str, Any]) -> dict[str, Any]:
        texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in rows["messages"]]
        return {"text": texts}

    data = load_dataset("json", data_files=task.rows, split="train").map(as_text, batched=True)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=data,
        args=SFTConfig(
            output_dir=str(Path(task.folder) / "unsloth"),
            max_steps=task.all_steps,
            per_device_train_batch_size=task.batch,
            learning_rate=task.learning_rate,
            lr_scheduler_type="constant",
            packing=task.packed,
            max_length=task.max_length,
            bf16=True,
            save_strategy="no",
            report_to=[],
            logging_steps=1,
        ),
    )
    meter.attach()
    trainer.train()
    meter.report([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])


if __name__ == "__main__":
    main()
