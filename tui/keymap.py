"""The person's own keys: keymap.yaml in the home, checked line by line before Textual sees it.

Textual ignores unknown ids and keys that no terminal sends, splits at commas and drops clashes, all
in silence; here each is a problem with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import FUNCTIONAL_KEYS, MODIFIER_FUNCTIONAL_KEYS
from textual.keys import _character_to_key

from core.errors import nearest
from tui.actions import ACTIONS, Action, overlap

FILE = "keymap.yaml"
MODIFIERS = {"ctrl", "alt", "shift"}
CHARACTERS = {_character_to_key(chr(code)): chr(code) for code in range(33, 127)}  # by their names
NAMED = {"space", *FUNCTIONAL_KEYS.values()} - MODIFIER_FUNCTIONAL_KEYS - set(CHARACTERS)
# every terminal has a sequence of its own for these; the others need the protocol of kitty
SENT = {
    keys[0].value
    for data, keys in ANSI_SEQUENCES_KEYS.items()
    if isinstance(keys, tuple) and len(keys) == 1 and (len(data) == 1 or keys[0].value in NAMED)
} | {"shift+tab"}
SENT_WITH_MODIFIERS = {name for code, name in FUNCTIONAL_KEYS.items() if not code.endswith("u")}
# flow control, screen and tmux, or the terminal's own menu take these away
TAKEN = {"f1", "f2", "f3", "f4", "ctrl+s", "ctrl+a", "ctrl+b"}
# these stay reachable, while a text is typed too: the key comes on top of what the file says
KEPT = {"app.quit": "ctrl+q", "app.help": "f1", "app.palette": "ctrl+p"}


class KeymapProblem(NamedTuple):
    """One thing that is wrong with the file; line counts from 1."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"{FILE} line {self.line}: {self.message}"


class Keymap(NamedTuple):
    """Keys by action name, and what was wrong; with a problem the keys are the default ones.

    A character is written as itself here ("?"), whatever the file calls it.
    """

    keys: dict[str, list[str]]
    problems: list[KeymapProblem]

    def of(self, action: Action) -> list[str]:
        return self.keys.get(action.name) or split(action.keys)

    def for_textual(self) -> dict[str, str]:
        return {name: ",".join(map(canonical, keys)) for name, keys in self.keys.items()}


class Entry(NamedTuple):
    """One line of the file."""

    line: int
    name: str
    keys: list[str]


def split(keys: str) -> list[str]:
    """The single keys of "j,down"."""
    return [key.strip() for key in keys.split(",")]


def canonical(key: str) -> str:
    """The name that Textual gives to a key: "comma", "ctrl+slash", "alt+shift+a"."""
    modifiers, last = _parts(key)
    last = "space" if last == " " else _character_to_key(last) if len(last) == 1 else last
    return "+".join([*sorted(modifiers), last])


def _short(key: str) -> str:
    """A key as people read it: a character as itself, anything else by its name."""
    name = canonical(key)
    return key if len(key) == 1 and key != " " else CHARACTERS.get(name, name)


def _parts(key: str) -> tuple[list[str], str]:
    """The modifiers and the key of "ctrl+x", "ctrl++" and "+"."""
    before, plus, last = key[:-1].rpartition("+")
    return before.split("+") if plus else [], last + key[-1:]


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
    if problems:
        return Keymap({}, sorted(problems))
    keys = {entry.name: list(dict.fromkeys(map(_short, entry.keys))) for entry in entries}
    return Keymap(keys, [])


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
    if not any(entry.keys):
        yield KeymapProblem(entry.line, f'"{entry.name}" has no key. Give it one.')
        return
    for key in entry.keys:
        if not is_key(key):
            yield KeymapProblem(entry.line, f'There is no key "{key}". {_way_out(key)}'.rstrip())
    if all(is_key(key) and not is_reliable(key) for key in entry.keys):
        yield KeymapProblem(
            entry.line,
            f"Many terminals don't send {' or '.join(entry.keys)}. "
            f'Give "{entry.name}" one more key.',
        )


def is_key(word: str) -> bool:
    """Whether a terminal can send a key of this name: "x", "comma", "enter", "ctrl+x", "alt+1"."""
    modifiers, last = _parts(word)
    if len(set(modifiers) & MODIFIERS) < len(modifiers):
        return False
    if last in NAMED or word == " ":
        return True
    if last not in CHARACTERS and (len(last) != 1 or not last.isprintable() or last.isspace()):
        return False
    # with another modifier a letter comes as itself; shift alone makes another character
    return not modifiers or (modifiers != ["shift"] and last == last.lower())


def is_reliable(key: str) -> bool:
    """Whether all terminals send this key as one that is not also another."""
    name = canonical(key)
    modifiers, last = _parts(name)
    if name in TAKEN:
        return False
    if name in SENT or (modifiers and last in SENT_WITH_MODIFIERS):
        return True
    if not modifiers:
        return last not in NAMED
    if len(last) != 1 or not last.isalnum() or modifiers[0] != "alt" or "ctrl" in modifiers:
        return False
    # alt comes as escape before the character, and Textual takes some of these for other keys
    return f"\x1b{last.upper() if 'shift' in modifiers else last}" not in ANSI_SEQUENCES_KEYS


def _way_out(key: str) -> str:
    """What to write instead of a word that names no key."""
    several = [part.strip() for part in key.split(",")]
    if len(several) > 1 and all(map(is_key, filter(None, several))):
        return f"Write a list: [{', '.join(filter(None, several))}]."
    if is_key(key.strip()):
        return "Take the spaces away."
    modifiers, last = _parts(key)
    if len(last) == 1 and set(modifiers) <= MODIFIERS:
        others = [modifier for modifier in modifiers if modifier != "shift"]
        meant = "+".join([*others, "shift", last.lower()]) if others else last.upper()
        return f'Write "{meant}".' if is_key(meant) else ""
    return nearest(key, [*NAMED, *CHARACTERS])


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
                    entry.line,
                    f'"{_short(key)}" is the key of "{name}" already. Give one another key.',
                )


def _keys(action: Action, chosen: dict[str, Entry]) -> list[str]:
    entry = chosen.get(action.name)
    return entry.keys if entry else split(action.keys)
