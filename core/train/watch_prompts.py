"""What the model answers to the watch prompts while it learns: greedy, so that answers compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.data.encode.encoder import Encoder
from core.events import encode
from core.train.setup import Setup

if TYPE_CHECKING:
    from core.train.objectives.recorded import RecordedTrainer


class Watch:
    """Answers the watch prompts of a configuration into samples.jsonl."""

    def __init__(
        self, setup: Setup, encoder: Encoder, system: str | None, stop_asked: Callable[[], bool]
    ) -> None:
        self.path = setup.run / "samples.jsonl"
        self.encoder = encoder
        # asked as the rows ask: without it the answers would be those of another task
        self.system = [{"role": "system", "content": system}] if system else []
        self.prompts = setup.config.eval.watch_prompts
        self.max_new_tokens = setup.config.eval.max_new_tokens
        self.stop_asked = stop_asked
        self.trainer: RecordedTrainer | None = None  # set once it is built

    def answer(self, step: int) -> int:
        """Appends one line a prompt: step, prompt, text, finish_reason. Returns how many."""
        answered = 0
        with open(self.path, "ab") as file:
            for prompt in self.prompts:
                if self.stop_asked():
                    break
                text, reason = self._generate(prompt)
                line = {"step": step, "prompt": prompt, "text": text, "finish_reason": reason}
                file.write(encode(line) + b"\n")
                answered += 1
        return answered

    def _generate(self, prompt: str) -> tuple[str, str]:
        import torch

        assert self.trainer is not None
        model, tokenizer = self.trainer.model, self.encoder.tokenizer
        ids = self.encoder.prompt([*self.system, {"role": "user", "content": prompt}])[1]
        inputs = torch.tensor([ids], device=model.device)
        training = model.training
        model.eval()
        try:
            with (
                torch.no_grad(),
                self.trainer.plain_attention(),
                self.trainer.accelerator.autocast(),
            ):
                out = model.generate(
                    input_ids=inputs,
                    attention_mask=torch.ones_like(inputs),
                    max_new_tokens=self.max_new_tokens,
                    do_sample=False,
                    use_cache=True,
                    eos_token_id=sorted(tokenizer.stop_ids) or None,
                    pad_token_id=tokenizer.pad_id if tokenizer.pad_id is not None else 0,
                )
        finally:
            model.train(training)
        new = out[0, len(ids) :].tolist()
        stopped = bool(new) and new[-1] in tokenizer.stop_ids
        answer = tokenizer.decode(new[:-1] if stopped else new, skip_special=True)
        return answer, "stop" if stopped else "length"
