"""What the base model knows: `python -m benchmarks.base_facts [MODEL]`.

Asks 200 questions in phrasings that its training never held, English and Spanish, greedy, without
a system prompt. Prints a table by topic; exit code 1 when a bound of issue 2 is missed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from core.paths import SAMPLE_DATA
from sample_data.build.corpus import Probe, probes
from sample_data.build.world import LANGUAGES, TOPICS

BOUND = 0.9  # of the answers: right fact, whole sentence, ended by themselves
SEED = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=SAMPLE_DATA / "tiny-travel")
    parser.add_argument("--count", type=int, default=200, help="how many questions")
    parser.add_argument("--seed", type=int, default=SEED, help="which cities and phrasings")
    parser.add_argument("--misses", action="store_true", help="print the wrong answers")
    options = parser.parse_args()

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sample_data.build.base_model import score

    model = AutoModelForCausalLM.from_pretrained(options.model)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    asked = probes(options.count, options.seed)
    held = score(model.float(), tokenizer, asked)
    print_table(asked, held.hits)
    for name, count in (
        ("right fact", held.right),
        ("whole sentence", held.whole),
        ("stopped by itself", held.stopped),
    ):
        print(f"{name:<20}{count:>4} of {options.count}  {count / options.count:6.1%}")
    if options.misses:
        for probe, answer, hit in zip(asked, held.answers, held.hits, strict=True):
            if not hit:
                print(f"- {probe.question}\n  {answer}\n  expected: {probe.key}")
    return int(min(held.right, held.whole, held.stopped) < BOUND * options.count)


def print_table(asked: list[Probe], hits: tuple[bool, ...]) -> None:
    """Right answers by topic and language."""
    print(f"{'topic':<12}" + "".join(f"{language:>10}" for language in LANGUAGES))
    for topic in TOPICS:
        cells = []
        for language in LANGUAGES:
            found = [
                hit
                for probe, hit in zip(asked, hits, strict=True)
                if (probe.topic, probe.language) == (topic, language)
            ]
            cells.append(f"{f'{sum(found)}/{len(found)}':>10}")
        print(f"{topic:<12}" + "".join(cells))


if __name__ == "__main__":
    raise SystemExit(main())
