"""The person's own keys: keymap.yaml in the home, checked line by line before Textual sees it.

Textual ignores unknown ids and drops clashes in silence; here each is a problem with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from textual.keys import Keys, _character_to_key

from core.errors import nearest
from tui.actions import ACTIONS, Action, overlap

FILE = "keymap.yaml"
MODIFIERS = {"ctrl", "alt", "shift"}
NAMED = {key.value for key in Keys if not key.value.startswith("<")}
# many terminals don't send these, or keep them for themselves
UNRELIABLE = {"ctrl+enter", "shift+enter", "alt+enter", "f1", "f2", "f3", "f4", "ctrl+s", "ctrl+a",
              "ctrl+b"}  # fmt: skip
# these stay reachable, while a text is typed too: the key comes on top of what the file says
KEPT = {"app.quit": "ctrl+q", "app.help": "f1", "app.palette": "ctrl+p"}


class KeymapProblem(NamedTuple):
    """One thing that is wrong with the file; line counts from 1."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"{FILE} line {self.line}: {self.message}"


class Keymap(NamedTuple):
    """Keys by action name, and what was wrong; with a problem the keys are the default ones."""

    keys: dict[str, list[str]]
    problems: list[KeymapProblem]

    def of(self, action: Action) -> list[str]:
        return self.keys.get(action.name) or split(action.keys)

    def for_textual(self) -> dict[str, str]:
        return {name: ",".join(keys) for name, keys in self.keys.items()}


class Entry(NamedTuple):
    """One line of the file."""

    line: int
    name: str
    keys: list[str]


def split(keys: str) -> list[str]:
    """The single keys of "j,down"."""
    return [key.strip() for key in keys.split(",")]


def canonical(key: str) -> str:
    """The name that Textual gives to a key."""
    return _character_to_key(key) if len(key) == 1 else key


def load(home: Path) -> Keymap:
    """The keymap of a home; without a file the default keys."""
    try:
        text = (home / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Keymap({}, [])
    except (OSError, UnicodeDecodeError) as error:
        return Keymap({}, [KeymapProblem(1, f"The file can't be read: {error}.")])
    return parse(text)


def parse(text: str) -> Keymap:
    """The keymap in a YAML text of `scope.action: key` or `scope.action: [key, key]` lines."""
    try:
        entries, problems = _entries(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it is not YAML"
        return Keymap({}, [KeymapProblem(mark.line + 1 if mark else 1, f"{reason}.")])
    for entry in entries:
        problems += _entry_problems(entry)
    problems += _clashes(entries)
    keys = {} if problems else {entry.name: entry.keys for entry in entries}
    return Keymap(keys, sorted(problems))


def _entries(text: str) -> tuple[list[Entry], list[KeymapProblem]]:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return [], []
    if not isinstance(node, yaml.MappingNode):
        return [], [KeymapProblem(1, 'Write lines such as "data.search: /".')]
    entries: list[Entry] = []
    problems: list[KeymapProblem] = []
    for name, value in node.value:
        line = name.start_mark.line + 1
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            problems.append(KeymapProblem(line, "Give one key, or a list of keys."))
        elif any(entry.name == name.value for entry in entries):
            problems.append(KeymapProblem(line, f'"{name.value}" is there twice.'))
        else:
            keys = [str(item.value) for item in items]
            kept = [KEPT[name.value]] if name.value in KEPT and keys else []
            entries.append(Entry(line, str(name.value), list(dict.fromkeys(keys + kept))))
    return entries, problems


def _entry_problems(entry: Entry) -> Iterator[KeymapProblem]:
    names = [action.name for action in ACTIONS]
    if entry.name not in names:
        hint = nearest(entry.name, names) or "`?` in the workbench lists the actions."
        yield KeymapProblem(entry.line, f'There is no action "{entry.name}". {hint}')
        return
    keys = [key for key in entry.keys if key]
    if not keys:
        yield KeymapProblem(entry.line, f'"{entry.name}" has no key. Give it one.')
        return
    for key in keys:
        if not is_key(key):
            hint = nearest(key, NAMED)
            yield KeymapProblem(entry.line, f'There is no key "{key}". {hint}'.rstrip())
    if all(key in UNRELIABLE for key in keys):
        yield KeymapProblem(
            entry.line,
            f'Many terminals don\'t send {" or ".join(keys)}. Give "{entry.name}" one more key.',
        )


def is_key(word: str) -> bool:
    """Whether a terminal key has this name: one character, "enter", "ctrl+x", "alt+1"."""
    if len(word) == 1 or word in NAMED or any(word == _character_to_key(c) for c in _PRINTABLE):
        return True
    *modifiers, last = word.split("+")
    return bool(modifiers) and set(modifiers) <= MODIFIERS and (len(last) == 1 or last in NAMED)


_PRINTABLE = [chr(code) for code in range(33, 127)]


def _clashes(entries: list[Entry]) -> Iterator[KeymapProblem]:
    """Keys that two actions of overlapping scopes would share, where the file had a say."""
    chosen = {entry.name: entry for entry in entries}
    keys = {action.name: {canonical(k) for k in _keys(action, chosen) if k} for action in ACTIONS}
    scopes = {action.name: action.scope for action in ACTIONS}
    for entry in entries:
        if entry.name not in keys:
            continue
        for name in keys:
            if name == entry.name or not overlap(scopes[entry.name], scopes[name]):
                continue
            if name in chosen and chosen[name].line < entry.line:
                continue  # told at the other's line
            for key in sorted(keys[entry.name] & keys[name]):
                yield KeymapProblem(
                    entry.line, f'"{key}" is the key of "{name}" already. Give one another key.'
                )


def _keys(action: Action, chosen: dict[str, Entry]) -> list[str]:
    entry = chosen.get(action.name)
    return entry.keys if entry else split(action.keys)
