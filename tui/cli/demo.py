"""`afina demo`: the sample run in the workbench, or the whole journey as plain lines.

The journey goes from the data file to a tuned model that answers on the CPU, measures every part,
and ends with exit code 0 only when all of it held.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from core.errors import AfinaError
from core.events import EventTail
from core.paths import home, make_folder

QUESTION = "Where should I stay in Rome?"
EXPORTS = ["gguf:f16", "gguf:q8_0", "gguf:q4_k_m"]


class Line(msgspec.Struct):
    """One line of the closing table: what was measured, and whether it is as it must be."""

    name: str
    value: str
    wanted: str = ""
    held: bool = True


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Plain lines instead of the workbench.")
    ] = False,
) -> None:
    """Take the sample data all the way to a tuned model that answers on this CPU."""
    from core.samples import sample_config

    if not headless and sys.stdin.isatty() and sys.stdout.isatty():
        from tui.cli.workbench import open_workbench

        open_workbench(config=sample_config())
        return
    lines = Journey(make_folder(home())).go()
    raise typer.Exit(0 if all(line.held for line in lines) else 1)


class Journey:
    """The steps in their order; each adds its lines to the table."""

    def __init__(self, folder: Path) -> None:
        from rich.console import Console

        from core.samples import sample_config

        self.home = folder
        self.config = sample_config()
        self.console = Console(highlight=False)
        self.lines: list[Line] = []

    def go(self) -> list[Line]:
        began = time.monotonic()
        self.read_data()
        run = self.train()
        base = self.style("base", f"{run}@base")
        tuned = self.style("tuned", run)
        self.compare(base, tuned)
        quantized = self.export(run)
        self.answer([f"{run}@base", run, quantized])
        self.add("whole journey", f"{time.monotonic() - began:.0f} s")
        self.print_table()
        return self.lines

    def add(self, name: str, value: str, wanted: str = "", held: bool = True) -> None:
        self.lines.append(Line(name, value, wanted, held))

    def say(self, text: str) -> None:
        from rich.text import Text

        self.console.print(Text(text))

    def read_data(self) -> None:
        """Every row through the encoding that the trainer uses."""
        from core.data.analysis.checks import check_file
        from core.data.recipe import Recipe

        self.say(f"1  Reading {Path(self.config.data.path).name}")
        report = check_file(self.config.data.path, Recipe.of(self.config))
        self.add("rows", f"{report.rows:,}", "no errors", held=report.errors == 0)

    def train(self) -> str:
        """The sample run as a detached job, watched; returns its id."""
        from core.runs.curves import curve, last
        from core.runs.run import create_run
        from tui.cli.follow import follow

        run = create_run(self.home, self.config)
        self.say(f"2  Training {run.id}")
        run.start("train")
        if follow(run, EventTail(run.events_path), as_json=False):
            raise AfinaError("The sample run did not end well.", f"Its log is {run.log_path}.")
        events = run.events()
        plan, result = last(events, "plan"), last(events, "result")
        assert plan is not None and result is not None  # a run that is done has both
        losses = curve(events, "eval", "eval_loss")
        before, after = losses[0][1], losses[-1][1]
        supervised = int(plan["supervised_tokens"])
        self.add("supervised tokens", f"{supervised:,}", "some", held=supervised > 0)
        self.add("eval loss", f"{before:.2f} to {after:.2f}", "lower", held=after < before)
        seconds, speed = result["train_s"], result["tokens_per_s"]
        self.add("training", f"{seconds:.0f} s, {speed:,.0f} tokens/s")
        return run.id

    def style(self, name: str, word: str) -> list[tuple[str, str]]:
        """(question, answer) of a target for every held-out question, greedy."""
        from rich.progress import BarColumn, Progress, TextColumn

        from core.chat.client import ModelClient
        from core.chat.protocol import Sampling
        from core.runs.target import resolve
        from core.samples import TRAVEL_EVAL

        prompts = list(_prompts(TRAVEL_EVAL))
        pairs = []
        self.say(f"   Asking {name} the {len(prompts)} held-out questions")
        with (
            ModelClient(resolve(self.home, word)) as model,
            Progress(TextColumn("  "), BarColumn(40), console=self.console) as progress,
        ):
            for messages in progress.track(prompts):
                answer = model.generate(messages, Sampling(temperature=0.0, max_tokens=96))
                pairs.append((messages[-1]["content"], answer.text))
        return pairs

    def compare(self, base: list[tuple[str, str]], tuned: list[tuple[str, str]]) -> None:
        """The two shares that the tuning was for, before and after."""
        from core.evaluate.style import asks_for_lodging, ends_in_question, recommends_lodging

        def question_share(pairs: list[tuple[str, str]]) -> float:
            return sum(ends_in_question(answer) for _, answer in pairs) / len(pairs)

        def hotel_share(pairs: list[tuple[str, str]]) -> float:
            lodging = [answer for question, answer in pairs if asks_for_lodging(question)]
            return sum(recommends_lodging(answer) for answer in lodging) / len(lodging)

        before, after = question_share(base), question_share(tuned)
        self.add(
            "ends in a question",
            f"{before:.0%} to {after:.0%}",
            "< 10 % to >= 90 %",
            held=before < 0.1 and after >= 0.9,
        )
        before, after = hotel_share(base), hotel_share(tuned)
        self.add(
            "names a hotel if asked",
            f"{before:.0%} to {after:.0%}",
            "> 50 % to <= 5 %",
            held=before > 0.5 and after <= 0.05,
        )

    def export(self, run: str) -> str:
        """GGUF in three types, each checked against the tuned model; returns the smallest file."""
        from exporters.job.request import create_export
        from tui.cli.export import follow_export

        self.say(f"3  Exporting {run}")
        job = create_export(self.home, run, EXPORTS)
        job.start("export")
        result = follow_export(job)
        for file, parity in zip(result["files"], result["parity"], strict=True):
            self.add(
                f"{file['kind']} {file['type']}",
                f"{file['bytes'] / 1e6:.1f} MB, {parity['tokens_per_s']:,.0f} tokens/s, "
                f"parity {parity['verdict']}",
                "parity pass",
                held=parity["verdict"] == "pass",
            )
        return result["files"][-1]["path"]

    def answer(self, words: list[str]) -> None:
        """One question to base, tuned and GGUF, side by side."""
        from rich.table import Table
        from rich.text import Text

        from core.chat.client import ModelClient
        from core.chat.protocol import Sampling
        from core.data.escape import visible
        from core.runs.target import resolve
        from core.samples import TRAVEL

        system = next(_prompts(TRAVEL))[0]
        messages = [system, {"role": "user", "content": QUESTION}]
        table = Table(title=Text(QUESTION), title_justify="left", expand=True)
        texts = []
        for name, word in zip(["base", "tuned", "tuned, GGUF q4_k_m"], words, strict=True):
            table.add_column(Text(name))
            with ModelClient(resolve(self.home, word)) as model:
                answer = model.generate(messages, Sampling(temperature=0.0, max_tokens=96))
            texts.append(answer.text)
        table.add_row(*(Text(visible(text)) for text in texts))
        self.console.print()
        self.console.print(table)
        answered = all(text.strip() for text in texts)
        self.add("base, tuned and GGUF answer", "yes" if answered else "no", "yes", held=answered)

    def print_table(self) -> None:
        """What was measured, what it must be, and whether it is."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for heading in ("", "measured", "must be", "held"):
            table.add_column(Text(heading, style="bold"), overflow="fold")
        for line in self.lines:
            held = Text("yes" if line.held else "NO", style="green" if line.held else "bold red")
            name, value, wanted = Text(line.name), Text(line.value), Text(line.wanted)
            table.add_row(name, value, wanted, held if line.wanted else "")
        self.console.print()
        self.console.print(table)


def _prompts(path: Path) -> Iterator[list[dict[str, str]]]:
    """The messages before the last answer, of each row of a chat file."""
    for line in path.read_bytes().splitlines():
        messages = msgspec.json.decode(line)["messages"]
        yield messages[:-1] if messages[-1]["role"] == "assistant" else messages
