"""`afina chat`: one question to one or several models, or a plain conversation line by line.

The full chat, with columns and votes, is the app's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from core.errors import AfinaError, nearest

if TYPE_CHECKING:
    from core.chat.client import ModelClient
    from core.chat.commands import Command
    from core.chat.history import History
    from core.chat.protocol import Answer, Sampling, Token
    from core.runs.target import Target

HELP = "Ctrl+C stops an answer. /retry  /undo  /system TEXT  /clear  /adapter NAME  /quit"

Targets = Annotated[
    list[str],
    typer.Argument(help="Runs, RUN@STEP, RUN@base, model folders, .gguf files, ONNX folders."),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter", help="Laid over a model folder, a GGUF or an ONNX folder; may be repeated."
    ),
]


def chat(
    targets: Targets,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="A question; - reads it from stdin.")
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(help='System prompt; else the one of the run\'s data; "" for none.'),
    ] = None,
    adapter: Adapters = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
    top_p: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the probability that is kept.")
    ] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; else all cores but one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One list of answers on stdout.")] = False,
) -> None:
    """Ask models a question, or talk to them line by line."""
    from core.chat.default_system_prompt import system_prompt_of
    from core.chat.protocol import Sampling
    from core.data.escape import visible
    from core.paths import home
    from core.runs.target import resolve

    if prompt is None and (json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        raise AfinaError(
            "There is no question, and no terminal to ask for one.",
            "Give --prompt TEXT, or --prompt - to read it from stdin.",
        )
    resolved = [resolve(home(), word, adapter) for word in targets]
    if system is None:
        system = system_prompt_of(resolved)
        if system:
            typer.echo(f"System prompt of the run's data: {visible(system)}", err=True)
    sampling = Sampling(
        temperature=0.0 if greedy else temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
    )
    if prompt is None:
        _converse(resolved, system, sampling, threads)
    else:
        _ask(resolved, _messages(system, _question(prompt)), sampling, threads, json)


def _question(prompt: str) -> str:
    """The prompt, from stdin for "-" without the newline that ends it; AfinaError for none."""
    text = sys.stdin.read().removesuffix("\n") if prompt == "-" else prompt
    if not text.strip():
        raise AfinaError("The question is empty.", "Write one after --prompt, or to stdin.")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes that Python could not read as text
        raise AfinaError("The question is not UTF-8.", "Convert it with iconv first.") from error
    return text


def _messages(system: str, text: str) -> list[dict[str, str]]:
    from core.chat.history import History

    history = History(system)
    history.ask(text)
    return history.messages


def _ask(
    targets: list[Target],
    messages: list[dict[str, str]],
    sampling: Sampling,
    threads: int | None,
    json: bool,
) -> None:
    """One answer per target and adapter, one model in memory at a time."""
    from core.chat.client import ModelClient

    answers = []
    voices = [_voices(target) for target in targets]
    named = sum(len(each) for each in voices) > 1
    for target, own in zip(targets, voices, strict=True):
        with ModelClient(target, threads=threads) as client:
            _load(client)
            for voice in own:
                if json:
                    answer = client.generate(messages, sampling, adapter=voice.adapter)
                    answers.append(_fields(target, voice, answer))
                else:
                    _say(client, voice, messages, sampling, named)
    if json:
        import json as json_module

        typer.echo(json_module.dumps(answers))  # ASCII: no answer can control the terminal


class Voice(NamedTuple):
    """One way in which a loaded model can answer."""

    label: str
    adapter: bool | str = True


def _voices(target: Target) -> list[Voice]:
    """Each adapter of a target that has several; else the target as it is."""
    from core.chat.backend import adapters_of
    from core.runs.target import adapter_name

    adapters = adapters_of(target)
    if len(adapters) < 2:
        return [Voice(target.label)]
    model = target.label.removesuffix(f" + {adapter_name(adapters[0])}")
    return [Voice(f"{model} + {adapter_name(path)}", path) for path in adapters]


def _fields(target: Target, voice: Voice, answer: Answer) -> dict[str, Any]:
    """The shape that scripts rely on; it only grows."""
    return {
        "target": target.word,
        "adapter": voice.adapter if isinstance(voice.adapter, str) else target.adapter,
        "text": answer.text,
        "prompt_ids": answer.prompt_ids,
        "ids": answer.ids,
        "finish_reason": answer.finish_reason,
        "first_token_s": answer.first_token_s,
        "tokens_per_s": answer.tokens_per_s,
    }


def _load(client: ModelClient) -> None:
    from core.data.escape import visible

    typer.echo(f"Loading {visible(client.target.label)} ...", err=True)
    client.load()


def _say(
    client: ModelClient,
    voice: Voice,
    messages: list[dict[str, str]],
    sampling: Sampling,
    named: bool,
) -> Answer:
    """Writes an answer while it comes: its text to stdout, what was measured to stderr."""
    from core.data.escape import visible

    def write(token: Token) -> None:
        typer.echo(visible(token.text), nl=False)

    if named:
        typer.echo(f"-- {visible(voice.label)}")
    answer = client.generate(messages, sampling, adapter=voice.adapter, on_token=write)
    typer.echo()
    typer.echo(f"[{_measured(answer)}]", err=True)
    return answer


def _measured(answer: Answer) -> str:
    parts = [f"{answer.prompt_tokens} prompt tokens", f"{len(answer.ids)} tokens"]
    if answer.first_token_s is not None:
        parts.append(f"first after {answer.first_token_s:.2f} s")
    if answer.tokens_per_s is not None:
        parts.append(f"{answer.tokens_per_s:.1f} tokens/s")
    ends = {"length": "cut at its longest", "cancelled": "stopped by you"}
    if answer.finish_reason in ends:
        parts.append(ends[answer.finish_reason])
    return ", ".join(parts)


def _converse(targets: list[Target], system: str, sampling: Sampling, threads: int | None) -> None:
    """Question after question to all targets, each with its own history."""
    from core.chat.client import ModelClient
    from core.chat.commands import Command
    from core.chat.history import History

    with suppress(ImportError):  # arrow keys in input(), where Python has it
        import readline  # noqa: F401
    with ExitStack() as stack:
        columns = []
        for target in targets:
            client = stack.enter_context(ModelClient(target, threads=threads))
            _load(client)
            columns.append(Column(client, History(system), _voices(target)[0]))
        typer.echo(HELP, err=True)
        while (line := _read_line()) is not None:
            if isinstance(line, Command) and line.word == "adapter":
                _change_adapter(columns, line.rest)
            elif _obey(line, [column.history for column in columns]):
                for column in columns:
                    _answer(column, sampling, len(columns) > 1)


@dataclass
class Column:
    """A loaded model with its own talk."""

    client: ModelClient
    history: History
    voice: Voice


def _answer(column: Column, sampling: Sampling, named: bool) -> None:
    """Answers the question that is open in a column, where there is one."""
    question = column.history.question
    if question is None:  # all of its questions were taken back
        return
    try:
        answer = _say(column.client, column.voice, column.history.messages, sampling, named)
    except AfinaError as error:  # too long a talk, or a worker that died: go on
        typer.echo(f"afina: {error}", err=True)
        return
    if answer.text:
        column.history.answer(question, answer.text)


def _change_adapter(columns: list[Column], word: str) -> None:
    """Lets another adapter answer in every column that has it; "none": the base model alone."""
    from core.chat.backend import adapters_of
    from core.data.escape import visible
    from core.runs.target import adapter_name, choose_adapter

    for column in columns:
        adapters = adapters_of(column.client.target)
        try:
            path = False if word == "none" else choose_adapter(adapters, word)
        except AfinaError as error:
            typer.echo(f"afina: {error}", err=True)
            continue
        label = column.voice.label.partition(" + ")[0]
        if path:
            label += f" + {adapter_name(path)}"
        column.voice = Voice(label, path)
        typer.echo(f"{visible(label)} answers from here on.", err=True)


def _read_line() -> Command | str | None:
    """The next line that is not empty; None at the end of the input or of the talk."""
    from core.chat.commands import Command, read_line

    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return None
        read = read_line(line)
        if isinstance(read, Command) and read.word in ("quit", "exit", "q"):
            return None
        if read:
            return read


def _obey(line: Command | str, histories: list[History]) -> bool:
    """Takes a question or a command into every history; returns whether answers are due."""
    if isinstance(line, str):
        for history in histories:
            history.ask(line)
        return True
    word, rest = line

    def system(history: History) -> None:
        history.system = rest

    commands: dict[str, Callable[[History], object]] = {
        "retry": lambda history: history.retry(),
        "undo": lambda history: history.undo(),
        "clear": lambda history: history.clear(),
        "system": system,
    }
    if word not in commands:
        known = [f"/{name}" for name in (*commands, "adapter", "quit")]
        hint = nearest(f"/{word}", known) or HELP
        typer.echo(f'There is no command "/{word}". {hint}', err=True)
        return False
    for history in histories:
        commands[word](history)
    return word == "retry"
