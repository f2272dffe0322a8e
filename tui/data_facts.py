"""What the Data pane has learned about the training data, for the form and its hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from core.config import Config
from core.config.objective_problems import shape_problems
from core.data.shapes.detect import SHAPES
from core.errors import FieldProblem
from tui.data.text import count, steps_per_epoch, training_share
from tui.train.groups import objective_now

if TYPE_CHECKING:
    from core.plan.data_facts import DataFacts as PlanFacts


class DataFacts(NamedTuple):
    """Facts about one file under one configuration; stats as core.data.analysis.stats has them."""

    path: str
    rows: int
    shape: str
    stats: dict[str, Any]

    def for_plan(self, config: Config) -> PlanFacts | None:
        """What core.plan.plan wants to know of the rows; None until they are encoded."""
        from core.plan.data_facts import DataFacts as PlanFacts

        if self.path != config.data.path or not self.stats.get("tokens"):
            return None
        kept = training_share(config)
        rows = round((self.stats["rows"] - self.stats["empty"]) * kept)
        tokens, share = round(self.stats["tokens"] * kept), self.stats["supervised_share"]
        objective = objective_now(config, self.shape) or "sft"
        return PlanFacts(rows, tokens, share, objective, self.stats["max"])


def hints(config: Config, facts: DataFacts | None) -> dict[str, str]:
    """What stands beside the values, where something can be said about this very run."""
    train, method = config.train, config.method
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
    packed = "" if train.packing != "off" else "at most "
    found = {
        "train.learning_rate": f"{train.lr_scheduler_type}, {train.warmup_ratio:.0%} warmup",
        "train.gradient_accumulation_steps": (
            f"{packed}{rows * config.data.max_length:,} tokens a step"
        ),
        "method.alpha": f"scale {method.alpha / method.rank ** (0.5 if method.rslora else 1):.3g}",
    }
    if facts is None or facts.path != config.data.path:
        return found
    found["data.path"] = count(facts.rows, "row") + (f", {facts.shape}" if facts.shape else "")
    if config.data.eval_path is None:
        held = round(facts.rows * config.data.eval_fraction)
        found["data.eval_fraction"] = f"{count(held, 'row')} held out"
    if facts.stats.get("rows"):
        found["data.max_length"] = f"tokens, longest {facts.stats['max']:,}"
        if train.max_steps is None:
            steps = round(steps_per_epoch(facts.stats, config) * train.num_train_epochs)
            found["train.num_train_epochs"] = f"about {count(max(1, steps), 'step')}"
    return found


def problems(config: Config, facts: DataFacts | None) -> list[FieldProblem]:
    """What the data says against the configuration."""
    if facts is None or facts.path != config.data.path:
        return []
    found = []
    if config.data.format == "auto" and facts.shape in SHAPES:
        found += shape_problems(config, facts.shape)
    return found + _cut(facts)


def _cut(facts: DataFacts) -> list[FieldProblem]:
    """The rows that are longer than max_length, once they are counted."""
    cut = facts.stats.get("truncated")
    if not cut:
        return []
    verb = "is" if cut == 1 else "are"
    return [
        FieldProblem(
            "data.max_length",
            f"{cut:,} of {count(facts.rows, 'row')} {verb} cut.",
            f"{facts.stats['max']:,} cuts none.",
            severity="warning",
        )
    ]
