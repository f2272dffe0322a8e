"""`afina data`: what is wrong with a data file, what is in it, what the model sees of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.data.recipe import Recipe

app = typer.Typer(
    help="Look at training data: exactly what the model will see.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    str,
    typer.Argument(
        help="A file (.jsonl .ndjson .json .csv .tsv .parquet .arrow .txt .md, each also .gz or "
        ".zst), a folder of them, a pattern such as 'data/*.jsonl', a folder saved by datasets, "
        "or a hub id.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Model folder or hub id whose tokenizer and template are used.")
]
MaxLength = Annotated[int, typer.Option(min=1, help="Tokens that are kept of a row.")]
Supervise = Annotated[
    str, typer.Option(help="What is learned: assistant, last_assistant, completion or all.")
]
Shape = Annotated[str | None, typer.Option(help="The rows' shape, if the guess is wrong.")]
ChatTemplate = Annotated[
    str | None, typer.Option(help="A Jinja file, or chatml, llama3 or alpaca.", show_default=False)
]
PromptTemplate = Annotated[
    str | None,
    typer.Option(
        help='For rows of columns: "### Question: {question}\n### Answer: {answer}".',
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("open")
def open_file(context: typer.Context, file: File) -> None:
    """Opens the workbench on a file."""
    from core.data.files.source import looks_like_data
    from core.errors import AfinaError
    from tui.cli.workbench import open_workbench

    if reason := looks_like_data(file):
        raise AfinaError(reason, "Check the name; it is taken from the working directory.")
    options = context.find_root().params
    open_workbench(
        readonly=options["readonly"],
        ascii=options["ascii"],
        mouse=not options["no_mouse"],
        data_path=file,
    )


@app.command()
def check(
    file: File,
    eval_file: Annotated[
        str | None,
        typer.Option("--eval", help="The file it will be evaluated on: rows in both are named."),
    ] = None,
    near: Annotated[
        bool, typer.Option("--near", help="Find rows that are nearly the same, too.")
    ] = False,
    model: Model = None,
    max_length: MaxLength = 512,
    supervise: Supervise = "assistant",
    shape: Shape = None,
    chat_template: ChatTemplate = None,
    prompt_template: PromptTemplate = None,
    as_json: Json = False,
) -> None:
    """Lists every problem of a file. Exit code 0: none, 1: some, 2: it can't be read.

    Without --model the form of the rows is checked, with it their tokens too. Notes are listed,
    but a file with nothing else has no problems.
    """
    from core.data.analysis.analysis import Options
    from core.data.analysis.checks import Inquiry, surveyed
    from core.data.recipe import Recipe
    from tui.cli.data_report import Bar, print_report, print_report_json

    if model is None:
        _refuse_token_options(supervise, chat_template)
    recipe = Recipe(model or "", None, max_length, supervise, shape, chat_template, prompt_template)
    inquiry = Inquiry(Options(near=near), eval_path=eval_file, cache=True)
    with Bar() as bar, surveyed(file, recipe, inquiry, bar.tell) as survey:
        bar.stop()
        if as_json:
            print_report_json(file, survey)
        else:
            print_report(file, survey)
        clean = not survey.ledger.errors and not survey.ledger.warnings
    raise typer.Exit(0 if clean else 1)


@app.command()
def show(
    file: File,
    row: Annotated[int, typer.Option(min=1, help="The row, counted from 1.")] = 1,
    model: Model = None,
    max_length: MaxLength = 512,
    supervise: Supervise = "assistant",
    shape: Shape = None,
    chat_template: ChatTemplate = None,
    prompt_template: PromptTemplate = None,
    as_json: Json = False,
) -> None:
    """Shows one row as the model sees it: tokens, and which of them it learns.

    Without --model these are the sample model's. Exit code 1 for a row that can't be learned from.
    """
    from core.data.recipe import Recipe
    from core.data.report import load_row, row_fields
    from tui.cli.data_report import print_json, print_row

    recipe = Recipe(
        _model(model), None, max_length, supervise, shape, chat_template, prompt_template
    )
    item = load_row(file, row, recipe)
    if as_json:
        print_json(row_fields(item))
    else:
        print_row(item, sample_model=model is None)
    raise typer.Exit(0 if item.encoding.usable else 1)


@app.command()
def stats(
    file: File,
    model: Model = None,
    max_length: MaxLength = 512,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Rows in a step: batch size times accumulation.")
    ] = 8,
    supervise: Supervise = "assistant",
    shape: Shape = None,
    chat_template: ChatTemplate = None,
    prompt_template: PromptTemplate = None,
    as_json: Json = False,
) -> None:
    """Counts tokens over all rows, and what each max_length would cut, pad and pack.

    Without --model they are counted with the sample model's tokenizer. The time of an epoch is
    told where an earlier run with this model was timed on this machine.
    """
    from core.data.analysis.analysis import Options
    from core.data.analysis.checks import Inquiry, surveyed
    from core.data.analysis.stats import Batches, whole_stats
    from core.data.recipe import Recipe
    from tui.cli.data_report import Bar, print_json
    from tui.cli.data_stats import print_stats

    recipe = Recipe(
        _model(model), None, max_length, supervise, shape, chat_template, prompt_template
    )
    inquiry = Inquiry(Options(languages=True), cache=True)
    with Bar() as bar, surveyed(file, recipe, inquiry, bar.tell) as survey:
        bar.stop()
        fields = {
            "path": file,
            "shape": survey.subject.reader.shape,
            "share": survey.subject.share,
            "model": recipe.model,
            "max_length": max_length,
            "cached": survey.cached,
            **whole_stats(survey.facts, Batches(max_length, batch_size)),
        }
    if fields["epoch"]:  # None where no row was encoded
        fields["epoch"] |= _time(recipe, fields["epoch"]["tokens"])
    if as_json:
        print_json(fields)
    else:
        print_stats(fields, sample_model=model is None)


def _refuse_token_options(supervise: str, chat_template: str | None) -> None:
    """Raises AfinaError for options that would do nothing in a check of form."""
    from core.errors import AfinaError

    given = {
        "--supervise": supervise != "assistant",
        "--chat-template": chat_template is not None,
    }
    if names := [name for name, is_given in given.items() if is_given]:
        raise AfinaError(
            f"Without a model no tokens are checked, so {' and '.join(names)} would do nothing.",
            "Add --model DIR.",
        )


def _time(recipe: Recipe, tokens: int) -> dict[str, float | str | None]:
    """Seconds of an epoch at the speed of an earlier run with this model, where there is one."""
    from core.config import Config
    from core.config import Model as ModelGroup
    from core.hardware import read_device
    from core.paths import home
    from core.plan.speed import earlier_speed

    config = Config(model=ModelGroup(name_or_path=recipe.model))
    speed, run = earlier_speed(home(), config, read_device("auto"))
    return {"seconds": tokens / speed if speed else None, "tokens_per_s": speed, "like_run": run}


def _model(given: str | None) -> str:
    """The model named, else the sample model."""
    from core.errors import AfinaError
    from core.paths import SAMPLE_DATA

    if given is not None:
        return given
    folder = SAMPLE_DATA / "tiny-travel"
    if not (folder / "tokenizer.json").is_file():
        raise AfinaError(
            f'The sample model is not at "{folder}".', "Name a model folder with --model DIR."
        )
    return str(folder)
