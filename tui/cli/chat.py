"""`afina chat`: one question to one or several models, or a plain conversation line by line.

The full chat, with columns and votes, is the app's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import AfinaError, nearest

if TYPE_CHECKING:
    from core.chat.client import ModelClient
    from core.chat.history import History
    from core.chat.protocol import Answer, Sampling, Token
    from core.targets import Target

HELP = "Ctrl+C stops an answer. /retry  /undo  /system TEXT  /clear  /quit"

Targets = Annotated[
    list[str], typer.Argument(help="Runs, RUN@STEP, RUN@base, model folders or .gguf files.")
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
    adapter: Annotated[str | None, typer.Option(help="Adapter laid over a model folder.")] = None,
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
    from core.chat.opening import system_prompt_of
    from core.chat.protocol import Sampling
    from core.data.visible import visible
    from core.paths import home
    from core.targets import resolve

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
    """One answer per target, one model in memory at a time."""
    from core.chat.client import ModelClient

    answers = []
    for target in targets:
        with ModelClient(target, threads=threads) as client:
            _load(client)
            if json:
                answers.append(_fields(target, client.generate(messages, sampling)))
            else:
                _say(client, messages, sampling, named=len(targets) > 1)
    if json:
        import json as json_module

        typer.echo(json_module.dumps(answers))  # ASCII: no answer can control the terminal


def _fields(target: Target, answer: Answer) -> dict[str, Any]:
    """The shape that scripts rely on; it only grows."""
    return {
        "target": target.word,
        "text": answer.text,
        "prompt_ids": answer.prompt_ids,
        "ids": answer.ids,
        "finish_reason": answer.finish_reason,
        "first_token_s": answer.first_token_s,
        "tokens_per_s": answer.tokens_per_s,
    }


def _load(client: ModelClient) -> None:
    from core.data.visible import visible

    typer.echo(f"Loading {visible(client.target.label)} ...", err=True)
    client.load()


def _say(
    client: ModelClient, messages: list[dict[str, str]], sampling: Sampling, named: bool
) -> Answer:
    """Writes an answer while it comes: its text to stdout, what was measured to stderr."""
    from core.data.visible import visible

    def write(token: Token) -> None:
        typer.echo(visible(token.text), nl=False)

    if named:
        typer.echo(f"-- {visible(client.target.label)}")
    answer = client.generate(messages, sampling, on_token=write)
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
    from core.chat.history import History

    with suppress(ImportError):  # arrow keys in input(), where Python has it
        import readline  # noqa: F401
    with ExitStack() as stack:
        columns = []
        for target in targets:
            client = stack.enter_context(ModelClient(target, threads=threads))
            _load(client)
            columns.append((client, History(system)))
        typer.echo(HELP, err=True)
        while (line := _read_line()) is not None:
            if not _obey(line, [history for _, history in columns]):
                continue
            for client, history in columns:
                try:
                    answer = _say(client, history.messages, sampling, named=len(columns) > 1)
                except AfinaError as error:  # too long a talk, or a worker that died: go on
                    typer.echo(f"afina: {error}", err=True)
                    continue
                if answer.text:
                    history.answer(answer.text)


def _read_line() -> str | None:
    """The next line that is not empty; None at the end of the input or of the talk."""
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return None
        if line in ("/quit", "/exit", "/q"):
            return None
        if line:
            return line


def _obey(line: str, histories: list[History]) -> bool:
    """Takes a question or a command into every history; returns whether answers are due."""
    if not line.startswith("/"):
        for history in histories:
            history.ask(line)
        return True
    word, _, rest = line.partition(" ")

    def system(history: History) -> None:
        history.system = rest.strip()

    commands: dict[str, Callable[[History], object]] = {
        "/retry": lambda history: history.retry(),
        "/undo": lambda history: history.undo(),
        "/clear": lambda history: history.clear(),
        "/system": system,
    }
    if word not in commands:
        hint = nearest(word, commands) or HELP
        typer.echo(f'There is no command "{word}". {hint}', err=True)
        return False
    for history in histories:
        commands[word](history)
    return word == "/retry" and bool(histories[0].turns)
