"""Every name that the product defines is used by the product: what only tests call is dead."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from textual.app import App
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBarRender
from textual.widgets import Input, TextArea

from core.paths import ROOT
from tui.actions import ACTIONS

PACKAGES = ("core", "exporters", "tui")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
TEXTUAL = (App, ModalScreen, VerticalScroll, ScrollView, Input, TextArea, Message, ScrollBarRender)
# what other libraries call: methods that override theirs, in the files that hold such classes
OVERRIDES = {
    "core/data/encode/template_trace.py": {"visit_Concat", "visit_Compare", "call_binop"},  # jinja2
    "core/train/loader/feeding.py": {"get_batch_samples", "_get_eval_sampler"},  # Trainer
    "core/train/objectives/dpo.py": {"_prepare_dataset"},
    "core/train/optim/stepping.py": {"create_optimizer", "create_scheduler"},
    "core/train/probe/steps.py": {  # TrainerCallback
        "on_train_begin", "on_step_begin", "on_step_end", "on_log", "on_train_end",
    },
    "core/train/callback.py": {
        "on_train_begin", "on_step_begin", "on_pre_optimizer_step", "on_step_end", "on_log",
        "on_save",
    },
    "exporters/onnx/olmo.py": {"make_attention_init", "make_qk_norm"},  # genai's builder
    "exporters/onnx/patches.py": {"make_rotary_embedding_caches_from_scratch"},
    "exporters/onnx/streaming.py": {
        "load_weights", "make_embedding", "make_layer", "make_layernorm", "make_lm_head",
        "save_model",
    },
    "tui/cli/export.py": {"parse_args"},  # click
}  # fmt: skip
KEPT_FOR_LIBRARIES = {"_created_lr_scheduler", "_clipboard"}  # Trainer and Textual read them
STARTED = {"afina.py"}  # modules that nothing imports


class Definition(NamedTuple):
    """A function, class, method or constant, and where it stands."""

    name: str
    path: Path
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.first} {self.name}"


Uses = dict[str, list[tuple[Path, int]]]


def test_every_name_has_a_caller_in_the_product() -> None:
    definitions, uses = read_product()
    textual = called_by_textual(uses)
    dead = [
        str(each)
        for each in definitions
        if not re.fullmatch("__.*__", each.name)
        and each.name not in textual
        and each.name not in OVERRIDES.get(str(each.path.relative_to(ROOT)), ())
        and not used_elsewhere(each, uses)
    ]
    assert not dead, "\n".join(dead)


def test_every_override_of_a_library_is_there() -> None:
    definitions, _ = read_product()
    there = {(str(each.path.relative_to(ROOT)), each.name) for each in definitions}
    listed = {(path, name) for path, names in OVERRIDES.items() for name in names}
    assert listed <= there


def test_every_module_is_imported_or_started() -> None:
    named: set[str] = set()
    for path in product_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value.partition(":")[0])
    dead = [
        str(path.relative_to(ROOT))
        for path in product_files()
        if path.name != "__init__.py"
        and str(path.relative_to(ROOT)) not in STARTED
        and module_of(path) not in named
    ]
    assert not dead, "\n".join(dead)


def test_what_an_object_keeps_for_itself_is_read() -> None:
    _, uses = read_product()
    dead = []
    for path in product_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own = isinstance(node.value, ast.Name) and node.value.id == "self"
                private = node.attr.startswith("_") and node.attr not in KEPT_FOR_LIBRARIES
                if own and private and node.attr not in uses:
                    dead.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}")
    assert not dead, "\n".join(dead)


def used_elsewhere(definition: Definition, uses: Uses) -> bool:
    """Whether the name stands anywhere but inside its own definition."""
    return any(
        path != definition.path or not definition.first <= line <= definition.last
        for path, line in uses[definition.name]
    )


def read_product() -> tuple[list[Definition], Uses]:
    definitions: list[Definition] = []
    uses: Uses = defaultdict(list)
    for path in product_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        definitions += defined(tree, path)
        for name, line in used(tree):
            uses[name].append((path, line))
    return definitions, uses


def product_files() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [ROOT / "afina.py", *sorted(found)]


def defined(tree: ast.Module | ast.ClassDef, path: Path) -> Iterator[Definition]:
    """What a module or a class defines. Fields are left out: they are read as JSON, too."""
    for node in tree.body:
        last = node.end_lineno or node.lineno
        if isinstance(node, FUNCTIONS):
            if not any(registers(decorator) for decorator in node.decorator_list):
                yield Definition(node.name, path, node.lineno, last)
        elif isinstance(node, ast.ClassDef):
            yield Definition(node.name, path, node.lineno, last)
            yield from defined(node, path)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and (
                    isinstance(tree, ast.Module) or target.id.isupper()
                ):
                    yield Definition(target.id, path, node.lineno, last)


def registers(decorator: ast.expr) -> bool:
    """Whether a decorator hands its function to a library, as `@app.command()` does."""
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).startswith("app.")


def used(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that are read, also those in texts such as "core.chat.hf:Transformers"."""
    listed = {
        id(text)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for text in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.name, node.lineno
        elif isinstance(node, ast.Constant) and id(node) not in listed:
            for name in names_in(node.value):
                yield name, node.lineno


def names_in(value: object) -> list[str]:
    """The names in a text that is made of nothing else."""
    path = isinstance(value, str) and re.fullmatch(r"[\w.]+(:\w+)?", value)
    return re.findall(r"\w+", path[0]) if path else []


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def called_by_textual(uses: Uses) -> set[str]:
    """What widgets override of Textual's, their handlers of messages, and their actions."""
    for path in product_files():
        if "textual" in path.read_text(encoding="utf-8"):
            importlib.import_module(module_of(path))
    handlers = {message.handler_name for message in subclasses(Message)}
    names = handlers | {f"_{name}" for name in handlers}
    names |= {f"action_{action.id}" for action in ACTIONS}
    names |= {f"{hook}_{name}" for hook in ("watch", "validate", "compute") for name in uses}
    return names.union(*map(dir, TEXTUAL))


def subclasses(base: type) -> Iterator[type]:
    for each in base.__subclasses__():
        yield each
        yield from subclasses(each)
