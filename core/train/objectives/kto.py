"""Learning from judged answers: TRL's KTO trainer on Afina's own encodings (arXiv 2402.01306)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.utils import use_adapter

from core.train.objectives.dpo import ComparingTrainer, Example, padded

OTHER = "other"  # columns of a held-out row: ids and labels of the answer before it


class KTOCollator:
    """Judged answers as TRL's KTO wants them, each prompt also with another row's answer.

    These mismatched pairs estimate how far the model has moved (KTO, arXiv 2402.01306, 4.1).
    """

    def __init__(self, pad_id: int, max_length: int) -> None:
        self.pad_id = pad_id
        self.max_length = max_length

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        rows = [(example["input_ids"], example["labels"]) for example in examples]
        prompts, answers = zip(*(_parts(ids, labels) for ids, labels in rows), strict=True)
        others = [answers[-1], *answers[:-1]]
        if f"{OTHER}_ids" in examples[0]:
            others = [(row[f"{OTHER}_ids"], row[f"{OTHER}_labels"]) for row in examples]
        mismatched = [
            tuple((a + b)[: self.max_length] for a, b in zip(prompt, answer, strict=True))
            for prompt, answer in zip(prompts, others, strict=True)
        ]
        batch = padded(rows, self.pad_id)
        batch |= {f"KL_{name}": value for name, value in padded(mismatched, self.pad_id).items()}
        batch["label"] = torch.tensor([bool(example["judgement"]) for example in examples])
        return batch


def with_other_answers(dataset: Any) -> Any:
    """Held-out rows, each with the answer of the row before it, the first one with the last.

    So an evaluation pairs the same rows whatever the size of a batch.
    """
    answers = [_parts(row["input_ids"], row["labels"])[1] for row in dataset]
    others = [answers[-1], *answers[:-1]]
    for place, name in enumerate(("ids", "labels")):
        dataset = dataset.add_column(f"{OTHER}_{name}", [other[place] for other in others])
    return dataset


def _parts(ids: list[int], labels: list[int]) -> tuple[tuple[list[int], list[int]], ...]:
    """Prompt and answer of a row, each as (ids, labels); the first learned token parts them."""
    cut = next((place for place, label in enumerate(labels) if label != -100), len(labels))
    return (ids[:cut], labels[:cut]), (ids[cut:], labels[cut:])


class Moved(NamedTuple):
    """How far the model has moved from its reference, in log-probabilities; (rows,) each."""

    answers: torch.Tensor
    mismatched: torch.Tensor
    wanted: torch.Tensor  # bool


class KTORunTrainer(ComparingTrainer, KTOTrainer):
    """Kahneman-Tversky optimization."""

    def __init__(self, pad_id: int, max_length: int, **kwargs: Any) -> None:
        self.collate = KTOCollator(pad_id, max_length)
        if kwargs["eval_dataset"] is not None:
            kwargs["eval_dataset"] = with_other_answers(kwargs["eval_dataset"])
        super().__init__(**kwargs)
        # TRL pairs neighbours before training and so needs their order; ours are paired in a batch
        self.args.train_sampling_strategy = "random"

    def get_train_dataloader(self) -> DataLoader[Any]:
        """As ever, without a last batch of a single row, which has no other answer beside it."""
        size = self.args.per_device_train_batch_size
        self.args.dataloader_drop_last = len(self.train_dataset) % size == 1  # type: ignore[arg-type]
        return super().get_train_dataloader()

    def measure(self) -> dict[str, float]:
        """The mean loss of the held-out rows, both kinds alike, and their rewards.

        Training estimates the divergence from the rows of a batch; here it comes from all of them.
        """
        parts = [self._moved(inputs) for inputs in self.eval_batches()]
        if not parts:
            return {"eval_loss": math.nan}
        moved = Moved(*(torch.cat(column) for column in zip(*parts, strict=True)))
        divergence = moved.mismatched.mean().clamp(min=0)
        sign = torch.where(moved.wanted, 1.0, -1.0)
        losses = 1 - torch.sigmoid(self.beta * sign * (moved.answers - divergence))
        rewards = self.beta * moved.answers
        means = {"eval_loss": float(losses.mean()), "kl": float(divergence)}
        for name, kind in (("chosen", moved.wanted), ("rejected", ~moved.wanted)):
            if kind.any():
                means[f"rewards/{name}"] = float(rewards[kind].mean())
        if {"rewards/chosen", "rewards/rejected"} <= means.keys():
            means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
        return means

    def _moved(self, inputs: dict[str, torch.Tensor]) -> Moved:
        answers, mismatched = self._both(self.model, inputs)
        if self.ref_model is not None:
            before = self._both(self.ref_model, inputs)
        else:
            tuned = self.accelerator.unwrap_model(self.model)
            # an adapter that goes on from another one is held near to that one's copy
            with use_adapter(tuned, "ref" if "ref" in tuned.peft_config else None):
                before = self._both(self.model, inputs)
        return Moved(answers - before[0], mismatched - before[1], inputs["label"].bool())

    def _both(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self._answers(model, inputs), self._answers(model, inputs, "KL_")

    def _answers(self, model: Any, inputs: dict[str, Any], prefix: str = "") -> torch.Tensor:
        """The log-probabilities of the answers of a batch. (rows,)"""
        ids, mask = inputs[f"{prefix}input_ids"], inputs[f"{prefix}attention_mask"]
        labels = ids.masked_fill(inputs[f"{prefix}completion_mask"] == 0, -100)
        given = {"input_ids": ids, "attention_mask": mask, "labels": labels, "use_cache": False}
        found = model(**given, fused_lm_head=True).log_probs
        return found[:, -(ids.shape[1] - 1) :].sum(-1)  # without the tokens of a prompt adapter
