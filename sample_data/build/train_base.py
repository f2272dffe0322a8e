"""Trains the tiny base model: `python -m sample_data.build.train_base --out FOLDER --minutes 55`.

A plain loop: answers supervised only, rows of like length together so that next to nothing is
padded, the learning rate tied to the minutes spent, so that it reaches zero on time on a busy
machine too. A killed run goes on from FOLDER/training.pt when started again.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from sample_data.build.base_model import Held, build_model, save_model, score
from sample_data.build.corpus import conversations, probes
from sample_data.build.tokens import render, train_tokenizer

SHARD = 12_000  # conversations drawn, sorted by length and batched at a time
Batch = tuple[torch.Tensor, torch.Tensor]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    Trainer(options).run()


class Trainer:
    """One training run: model, optimizers, position in the corpus, clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = self._tokenizer()
        self.model = build_model(self.tokenizer)
        self.optimizers = optimizers(self.model, options)
        self.step = self.shard = self.tokens = 0
        self.spent_s = 0.0
        self.state = options.out / "training.pt"
        if self.state.exists():
            self._restore()

    def run(self) -> None:
        """Trains until the minutes are spent, then saves the model."""
        opened, before = time.monotonic(), self.spent_s
        saved = probed = opened
        losses: list[float] = []
        print(f"parameters {sum(p.numel() for p in self.model.parameters()):,}", flush=True)
        for batch in self._batches():
            share = self.spent_s / (60 * self.options.minutes)
            if share >= 1:
                break
            losses.append(self._learn(batch, share))
            self.step += 1
            now = time.monotonic()
            self.spent_s = before + now - opened
            if self.step % 100 == 0:
                rate = self.tokens / self.spent_s
                mean = sum(losses[-100:]) / len(losses[-100:])
                print(
                    f"step {self.step} minute {self.spent_s / 60:.1f} loss {mean:.4f} "
                    f"tokens {self.tokens:,} tokens/s {rate:,.0f}",
                    flush=True,
                )
            if now - saved > 120:
                self._save()
                saved = now
            if now - probed > 60 * self.options.probe_minutes:
                print(self._probe(60), flush=True)
                probed = time.monotonic()
        self.model.set_attn_implementation("sdpa")
        save_model(self.model, self.options.out)
        self._save()
        print(self._probe(200), flush=True)

    def _learn(self, batch: Batch, share: float) -> float:
        scale = min(1.0, (self.step + 1) / 100) * min(1.0, 1.25 * (1 - share))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * scale
        ids, labels = batch  # (rows, length), labels -100 where nothing is learnt
        self.model.set_attn_implementation("plain_causal")
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
            learnt = labels[:, 1:] != -100
            logits = self.model.lm_head(hidden[:, :-1][learnt])
        loss = cross_entropy(logits.float(), labels[:, 1:][learnt])
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.tokens += ids.numel()
        return loss.item()

    def _batches(self) -> Iterator[Batch]:
        while True:
            seed = self.options.seed * 1_000_003 + self.shard
            rows = encode(self.tokenizer, conversations(seed, SHARD))
            yield from batched(rows, self.options.batch_tokens, random.Random(seed))
            self.shard += 1

    def _probe(self, count: int) -> str:
        self.model.set_attn_implementation("sdpa")
        held: Held = score(self.model, self.tokenizer, probes(count, seed=count))
        return (
            f"held-out facts {held.right}/{count}, sentences {held.whole}, stopped {held.stopped}"
        )

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        if (self.options.out / "tokenizer.json").exists():
            return PreTrainedTokenizerFast.from_pretrained(self.options.out)
        texts = (render(c) for c in conversations(self.options.seed, 60_000))
        return train_tokenizer(texts, self.options.out)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "position": (self.step, self.shard, self.tokens, self.spent_s),
        }
        torch.save(state, self.state.with_suffix(".new"))
        self.state.with_suffix(".new").replace(self.state)

    def _restore(self) -> None:
        state = torch.load(self.state)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.shard, self.tokens, self.spent_s = state["position"]
        self.shard += 1  # the shard in hand was partly seen: go on with the next


def optimizers(model: LlamaForCausalLM, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms (or for all)."""
    inside = [p for p in model.model.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in inside}
    rest = [p for p in model.parameters() if id(p) not in known]
    adam = torch.optim.AdamW(rest, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.0)
    if options.optimizer == "adamw":
        second = torch.optim.AdamW(inside, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
    else:
        second = torch.optim.Muon(
            inside,
            lr=options.muon_lr,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
            ns_steps=options.ns_steps,
        )
    for optimizer in (adam, second):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [adam, second]


def encode(tokenizer: PreTrainedTokenizerFast, chats: Iterator[list]) -> list[tuple[list, list]]:
    """Ids and labels of every conversation; only answers and their stop token are labelled."""
    header = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    end = tokenizer.eos_token_id
    texts = [render(chat) for chat in chats]
    rows = []
    for encoding in tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False):
        ids = encoding.ids
        labels, place = [-100] * len(ids), 0
        while place < len(ids):
            if ids[place : place + len(header)] != header:
                place += 1
                continue
            place += len(header)
            stop = ids.index(end, place) + 1
            labels[place:stop] = ids[place:stop]
            place = stop
        rows.append((ids, labels))
    return rows


def batched(
    rows: list[tuple[list, list]], batch_tokens: int, rng: random.Random
) -> Iterator[Batch]:
    """Batches of about `batch_tokens`, rows of like length together, in random order.

    Right padding needs no attention mask under causal attention: no real token looks at it.
    """
    rng.shuffle(rows)
    rows.sort(key=lambda row: len(row[0]))
    batches, batch = [], []
    for row in rows:
        if batch and len(row[0]) * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(row)
    batches.append(batch)
    rng.shuffle(batches)
    for batch in batches:
        width = max(len(ids) for ids, _ in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        labels = torch.full((len(batch), width), -100)
        for number, (row_ids, row_labels) in enumerate(batch):
            ids[number, : len(row_ids)] = torch.tensor(row_ids)
            labels[number, : len(row_ids)] = torch.tensor(row_labels)
        yield ids, labels


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and its state")
    parser.add_argument("--minutes", type=float, default=55, help="wall time to train for")
    parser.add_argument("--lr", type=float, default=2e-3, help="AdamW's peak learning rate")
    parser.add_argument("--muon-lr", type=float, default=3e-3, help="Muon's peak learning rate")
    parser.add_argument("--ns-steps", type=int, default=5, help="Newton-Schulz steps in Muon")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--probe-minutes", type=float, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
