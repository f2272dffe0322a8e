"""Writes configuration.md from core/config/, keys.md from tui/actions.py and checks.md from
core/data/catalog.py, beside itself.

`python docs/write_reference.py`; with --check it writes nothing and ends with 1 when a page is not
what the declarations give.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

import afina  # noqa: F401 - claims core and tui
from core.config import Config, config_io
from core.data.catalog import GROUPS
from tui.actions import SCOPE_TITLES, of_scope
from tui.widgets.footer import key_label

FOLDER = Path(__file__).parent

CONFIGURATION = """# The configuration of a run

Written from `core/config/` by `python docs/write_reference.py`; change it there.

One YAML file with a group for each part. What is left out has its default, a key that does not
exist is refused with the nearest one, and every problem is told at once. On the command line
`afina train run.yaml train.learning_rate=1e-4 method.rank=8` lays values over the file. The run's
directory keeps the whole configuration, every default written out, as `config.yaml`.

```yaml
model: {name_or_path: sample_data/tiny-travel}
data: {path: sample_data/travel.jsonl, max_length: 256}
method: {kind: lora, rank: 16}
train: {num_train_epochs: 3, learning_rate: 2.0e-4}
```
"""


KEYS = """# The keys

Written from `tui/actions.py` by `python docs/write_reference.py`; change it there.

`?` shows the keys of the place you are in, `ctrl+p` finds an action by its name. Any key can be
changed: help says where the keymap file lies; the last column has an action's name in it.
"""


CHECKS = """# The checks

Written from `core/data/catalog.py` by `python docs/write_reference.py`; change it there.

`afina data check FILE` and the Data pane run them on every row. A problem names the row, its line,
the field, what was found, what was expected and a way to mend it. Severities: an *error* is a row
that can't be used as it is or teaches nothing, a *warning* a row that is used while something of it
is lost or odd, a *note* is worth a look. Two severities: it depends on the row.
"""


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"configuration.md": configuration(), "keys.md": keys(), "checks.md": checks()}


def configuration() -> str:
    """Every option, group by group."""
    parts = [CONFIGURATION]
    for field in msgspec.structs.fields(Config):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            parts.append(f"\n## {field.name}\n\n{field.type.__doc__}\n\n{_table(field.name)}")
    parts.insert(1, f"\n## At the top\n\n{_table('')}")
    return "".join(parts)


def keys() -> str:
    """Every action, scope by scope."""
    parts = [KEYS]
    for scope, title in SCOPE_TITLES.items():
        lines = ["| keys | what it does | name |", "|---|---|---|"]
        for action in of_scope(scope):
            shown = " ".join(f"`{key_label(key)}`" for key in action.keys.split(","))
            asks = " Asks first." if action.danger else ""
            words = f"{action.tooltip}{asks} | `{action.name}` |"
            lines.append(f"| {shown} | {words}".replace("`|`", "`\\|`"))
        parts.append(f"\n## {title}\n\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def checks() -> str:
    """Every check, group by group."""
    parts = [CHECKS]
    for title, group in GROUPS.items():
        lines = ["| check | severity | meaning |", "|---|---|---|"]
        for name, check in group.items():
            lines.append(f"| `{name}` | {' or '.join(check.severities)} | {check.meaning} |")
        parts.append(f"\n## {title}\n\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def _table(group: str) -> str:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name, field in config_io.fields():
        owner, _, key = name.rpartition(".")
        if owner == group:
            lines.append(f"| `{key}` | {_default(field)} | {_meaning(field.type)} |")
    return "\n".join(lines) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory() if callable(field.default_factory) else None
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "to be given"


def _meaning(kind: Any) -> str:
    meta = next((item for item in get_args(kind) if isinstance(item, msgspec.Meta)), msgspec.Meta())
    extra = meta.extra or {}
    parts = [meta.description or ""]
    if choices := _choices(kind):
        parts.append("One of " + ", ".join(f"`{choice}`" for choice in choices) + ".")
    if bounds := _bounds(meta):
        unit = f" {extra['unit']}" if extra.get("unit") else ""
        parts.append(f"{bounds}{unit}.")
    elif extra.get("unit"):
        parts.append(f"In {extra['unit']}.")
    if extra.get("source"):
        parts.append(f"Source: {extra['source']}.")
    return " ".join(part for part in parts if part).replace("|", "\\|")


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for item in get_args(kind) if (found := _choices(item))), ())


def _bounds(meta: msgspec.Meta) -> str:
    signs = {"ge": "At least", "gt": "Above", "le": "at most", "lt": "below"}
    words = [
        f"{sign} {getattr(meta, name):g}"
        for name, sign in signs.items()
        if getattr(meta, name) is not None
    ]
    return ", ".join(words)


def main() -> int:
    stale = 0
    for name, text in pages().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = 1
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    return stale if "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    raise SystemExit(main())
