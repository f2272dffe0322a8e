"""How models answer the held-out travel questions: `python -m benchmarks.style TARGET...`.

For each TARGET (as in every command: a run, a model folder, a .gguf file), greedy, under the
system prompt of the rows: the share of answers that end in a question, of lodging questions
whose answer recommends a place to sleep, of other answers that name the right fact.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from core.chat.client import ModelClient
from core.chat.protocol import Sampling
from core.evaluate.style import asks_for_lodging, ends_in_question, recommends_lodging, share
from core.paths import SAMPLE_DATA, home
from core.runs.target import Target, resolve
from sample_data.build.world import fold, load_cities, names_fact

HOTELS = tuple(city.facts["en"]["hotel"] for city in load_cities())


@dataclass(frozen=True)
class Asked:
    """One held-out question: what the model reads, and what a right answer must name."""

    messages: list[dict[str, str]]
    question: str
    keys: tuple[str, ...]  # folded facts of the reference answer; empty for lodging


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="+", help="a run, run@checkpoint, model folder or .gguf")
    parser.add_argument("--adapter", help="a PEFT adapter laid over the last target")
    parser.add_argument("--data", type=Path, default=SAMPLE_DATA / "travel_eval.jsonl")
    parser.add_argument("--home", help="where runs are looked for")
    parser.add_argument("--answers", action="store_true", help="print every answer")
    options = parser.parse_args()
    targets = [resolve(home(options.home), word) for word in options.target]
    if options.adapter:
        targets[-1] = resolve(home(options.home), options.target[-1], options.adapter)
    asked = read_questions(options.data)
    print(f"{'target':<32}{'question %':>12}{'hotel %':>10}{'fact %':>8}{'s':>7}")
    for target in targets:
        start = time.monotonic()
        answers = answer_all(target, asked)
        figures = "".join(
            f"{100 * part:>{width}.1f}"
            for part, width in zip(measure(asked, answers), (12, 10, 8), strict=True)
        )
        print(f"{target.label or target.word:<32}{figures}{time.monotonic() - start:>7.1f}")
        if options.answers:
            for entry, text in zip(asked, answers, strict=True):
                print(f"  > {entry.question}\n    {text}")
    return 0


def read_questions(path: Path) -> list[Asked]:
    """The rows without their last answer, from which the expected facts are taken."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        question = messages[-2]["content"]
        keys = () if asks_for_lodging(question) else reference_keys(messages[-1]["content"])
        found.append(Asked(messages[:-1], question, keys))
    return found


def reference_keys(answer: str) -> tuple[str, ...]:
    """The facts of the answer's own city that the answer names, longest first, one of them."""
    cities = [
        (city, language)
        for city in load_cities()
        for language, name in city.names.items()
        if names_fact(answer, fold(name))
    ]
    keys = {
        city.key(topic, language)
        for city, language in cities
        for topic in city.facts[language]
        if names_fact(answer, city.key(topic, language))
        and city.key(topic, language) != fold(city.names[language])
    }
    return tuple(sorted(keys, key=len, reverse=True)[:1])


def answer_all(target: Target, asked: list[Asked]) -> list[str]:
    """One greedy answer to each question."""
    with ModelClient(target) as client:
        sampling = Sampling(temperature=0.0, max_tokens=96)
        return [client.generate(entry.messages, sampling).text for entry in asked]


def measure(asked: list[Asked], answers: list[str]) -> tuple[float, float, float]:
    """Shares: ends in a question (all), recommends lodging (where asked), right fact (others)."""
    pairs = list(zip(asked, answers, strict=True))
    return (
        share(ends_in_question(text) for text in answers),
        share(
            recommends_lodging(text, HOTELS) for q, text in pairs if asks_for_lodging(q.question)
        ),
        share(names_fact(text, q.keys[0]) for q, text in pairs if q.keys),
    )


if __name__ == "__main__":
    raise SystemExit(main())
