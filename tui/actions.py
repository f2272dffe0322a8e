"""Every action of the workbench, once: its keys, label and meaning.

Bindings, footer, palette, help, the table in docs/ and the keymap file are drawn from here. What an
action does is `action_<id>` of the widget of its scope.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import NamedTuple

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen


class Action(NamedTuple):
    """One thing that a key does."""

    id: str
    keys: str  # Textual's names with commas between; single characters as they are
    label: str  # one to three words, for the footer
    tooltip: str  # a sentence, for help and palette
    scope: str
    danger: bool = False  # asks before it acts
    footer: bool = True  # False: only in help and palette

    @property
    def name(self) -> str:
        """The id in the keymap file."""
        return f"{self.scope}.{self.id}"


def _quiet(scope: str, *entries: tuple[str, str, str, str]) -> list[Action]:
    """Actions that everybody expects, so that the footer leaves them out."""
    return [Action(*entry, scope=scope, footer=False) for entry in entries]


ACTIONS: list[Action] = [
    # everywhere
    Action("help", "?,f1", "help", "Show the keys of this place.", "app"),
    Action("quit", "q,ctrl+q", "quit", "Leave the workbench; training goes on without it.", "app"),
    *_quiet(
        "app",
        ("palette", "ctrl+p,:", "actions", "Find an action by its name."),
        ("pane_data", "1,alt+1", "Data", "Look at the training data."),
        ("pane_train", "2,alt+2", "Train", "Configure and start a run."),
        ("pane_runs", "3,alt+3", "Runs", "Watch the runs."),
        ("pane_chat", "4,alt+4", "Chat", "Chat with models."),
        ("pane_export", "5,alt+5", "Export", "Export a model."),
        (
            "how_to_quit",
            "ctrl+c",
            "how to quit",
            "Say how to leave; ctrl+c by itself ends nothing.",
        ),
        ("next_frame", "tab", "next frame", "To the next frame."),
        ("previous_frame", "shift+tab", "previous frame", "To the frame before."),
    ),
    # lists of rows
    *_quiet(
        "list",
        ("up", "up,k", "up", "One row up."),
        ("down", "down,j", "down", "One row down."),
        ("first", "g,home", "first", "To the first row."),
        ("last", "G,end", "last", "To the last row."),
        ("half_up", "ctrl+u", "half up", "Half a page up."),
        ("half_down", "ctrl+d", "half down", "Half a page down."),
        ("page_up", "pageup", "page up", "A page up."),
        ("page_down", "pagedown", "page down", "A page down."),
        ("open", "enter", "open", "Open the row under the cursor."),
    ),
    # texts that scroll
    *_quiet(
        "text",
        ("up", "up,k", "up", "One line up."),
        ("down", "down,j", "down", "One line down."),
        ("first", "g,home", "first", "To the first line."),
        ("last", "G,end", "last", "To the last line."),
        ("half_up", "ctrl+u", "half up", "Half a page up."),
        ("half_down", "ctrl+d", "half down", "Half a page down."),
        ("page_up", "pageup", "page up", "A page up."),
        ("page_down", "pagedown", "page down", "A page down."),
    ),
    # the tokens of a row
    Action(
        "next_problem", "]", "next problem", "To the next problem in the row, or row.", "tokens"
    ),
    *_quiet(
        "tokens",
        ("previous_problem", "[", "problem before", "To the problem before in the row, or row."),
        ("left", "left,h", "token before", "To the token before."),
        ("right", "right,l", "next token", "To the next token."),
        ("up", "up,k", "up", "To the token above."),
        ("down", "down,j", "down", "To the token below."),
        ("first", "g,home", "first", "To the first token."),
        ("last", "G,end", "last", "To the last token."),
        ("half_up", "ctrl+u", "half up", "Half a page up."),
        ("half_down", "ctrl+d", "half down", "Half a page down."),
        ("page_up", "pageup", "page up", "A page up."),
        ("page_down", "pagedown", "page down", "A page down."),
    ),
    # the form of the Train pane
    Action("edit", "enter", "change", "Change the value under the cursor.", "form"),
    *_quiet(
        "form",
        ("up", "up,k", "up", "To the option above."),
        ("down", "down,j", "down", "To the option below."),
        ("first", "g,home", "first", "To the first option."),
        ("last", "G,end", "last", "To the last option."),
        ("half_up", "ctrl+u", "half up", "Half a page up."),
        ("half_down", "ctrl+d", "half down", "Half a page down."),
        ("next_choice", "right,l,space", "next value", "The next of the possible values."),
        ("previous_choice", "left,h", "value before", "The one before of the possible values."),
        ("reset", "x,delete", "default", "Back to the option's default."),
    ),
    Action("keep", "enter", "keep", "Keep the value that was written.", "value"),
    Action("leave", "escape", "leave", "Leave the value as it was.", "value"),
    # dialogs
    Action("back", "escape", "back", "Close without doing anything.", "dialog"),
    *_quiet("dialog", ("quit", "ctrl+q", "quit", "Leave the workbench.")),
    Action("yes", "y,enter", "yes", "Do it.", "question"),
    Action("no", "n,escape", "no", "Leave it.", "question"),
    *_quiet("question", ("quit", "ctrl+q", "quit", "Leave the workbench.")),
    Action("take", "enter", "choose", "Take this one.", "choice"),
    *_quiet(
        "choice",
        ("up", "up,ctrl+p", "up", "To the entry above."),
        ("down", "down,ctrl+n", "down", "To the entry below."),
    ),
    Action("regex", "tab", "regex", "Plain words, or a regular expression.", "searching"),
    Action("complete", "tab", "complete", "Write the word under the cursor out.", "filtering"),
    Action("complete", "tab,right", "complete", "Complete the path as far as it is clear.", "path"),
    # new files
    Action("start", "w", "write", "Write what is chosen.", "output"),
    Action("open_new", "o", "open", "Make the new files the data of the run.", "output"),
    Action("back", "escape", "back", "Cancel what is at work; else close.", "output"),
    *_quiet("output", ("quit", "ctrl+q", "quit", "Leave the workbench.")),
    # Data
    Action("search", "/", "search", "Find words in the rows, or a regular expression.", "data"),
    Action("filter", "f", "filter", "Show only the rows that an expression is true of.", "data"),
    Action("next_problem", "]", "next problem", "To the next row with a problem.", "data"),
    Action("tokens", "t", "tokens", "Show every token that the model sees, or the turns.", "data"),
    Action("edit", "e", "edit", "Edit the row in $EDITOR; the file stays as it is.", "data"),
    Action(
        "drop",
        "d",
        "drop",
        "Leave the row, or the marked ones, out of the new file.",
        "data",
        danger=True,
    ),  # fmt: skip
    Action("write", "w", "write", "Write the rows to a new file, with edits and fixes.", "data"),
    Action("open_file", "o", "open", "Open another data file.", "data"),
    Action("copy", "y", "copy", "Copy the row to the clipboard and to a file.", "data"),
    *_quiet(
        "data",
        ("sort", "s", "sort", "Sort the rows by a fact: tokens, turns, problems."),
        ("checks", "c", "checks", "List what was found in the rows, and filter by it."),
        ("statistics", "S", "statistics", "Lengths, what each max_length would cost, labels."),
        ("information", "i", "about the file", "What the file is and how its rows are read."),
        ("shape", "F", "shape", "Choose the shape of the rows instead of finding it out."),
        ("goto", "ctrl+g", "go to row", "Go to a row by its number."),
        ("mark", "space", "mark", "Mark the row, or take the mark away."),
        ("marked", "m", "marked rows", "Show only the marked rows, or all again."),
        ("unmark", "M", "no marks", "Take all marks away."),
        ("previous_problem", "[", "problem before", "To the row with a problem before."),
        ("next_match", "n", "next match", "To the next row that has the text searched for."),
        ("previous_match", "N", "match before", "To the row before that has the text."),
        ("next_row", "J,shift+down", "next row", "To the next row, with the row in sight."),
        ("previous_row", "K,shift+up", "row before", "To the row before, with the row in sight."),
        ("ids", "#", "ids", "Show the id of each token, or not."),
        ("boundaries", "b", "boundaries", "Show where each token ends, or not."),
        ("json", "v", "JSON", "Show the row as the file has it, or as the model sees it."),
        ("other_answer", "r", "other answer", "Of a preference, the other of the two answers."),
        ("undo", "u", "undo", "Take the edit of the row back, or its drop."),
        ("split", "x", "split", "Split the rows into a file to train on and one to evaluate on."),
        ("template", "p", "template", "Choose the template, what is learned, and max_length."),
        ("back", "escape", "back", "Back from the row; else stop, end the search, show all rows."),
    ),
    # Train
    Action("run", "r", "run", "Start the run as a process of its own.", "train"),
    Action("probe", "p", "probe", "Measure two real steps at the longest batch.", "train"),
    Action("edit_yaml", "e", "edit YAML", "Edit the configuration in $EDITOR.", "train"),
    Action("open_yaml", "o", "open", "Open a configuration from a YAML file.", "train"),
    Action("save_yaml", "w", "save", "Save the configuration to a YAML file.", "train"),
    Action("preset", "P", "preset", "Lay a preset over the configuration.", "train"),
    *_quiet(
        "train",
        ("fix", "f", "less memory", "Choose a way to less memory that the probe found."),
        ("undo", "u", "undo", "Take the last change of the configuration back."),
        ("next_error", "]", "next problem", "To the next option with a problem."),
        ("plan", "v", "plan", "Show the plan beside or instead of the form."),
        ("back", "escape", "back", "Cancel the probe; else back from the plan to the form."),
    ),
    # Runs
    Action(
        "stop",
        "s",
        "stop",
        "Save the whole state and end the run; pressed again, end it without saving.",
        "runs",
        danger=True,
    ),
    Action(
        "pause",
        "z",
        "pause",
        "Save the whole state and free the device until it is resumed.",
        "runs",
        danger=True,
    ),
    Action("checkpoint", "c", "checkpoint", "Save a checkpoint now; training goes on.", "runs"),
    Action(
        "resume", "r", "resume", "Say what has changed, then go on from the checkpoint.", "runs"
    ),
    Action("log", "l", "log", "Show what the run's process printed, or the curves again.", "runs"),
    Action("export", "x", "export", "Open the run in the Export pane.", "runs"),
    *_quiet(
        "runs",
        ("evaluate", "e", "evaluate", "Evaluate now; training goes on afterwards."),
        ("sample", "w", "watch prompts", "Have the watch prompts answered now."),
        ("fork", "f", "new run", "Open the configuration in Train, to go on from a point or not."),
        ("chat", "o", "chat", "Open the run in the Chat pane, as enter does."),
        (
            "next_tab",
            "right",
            "next tab",
            "Curves, samples, findings, log, configuration, checkpoints.",
        ),
        ("previous_tab", "left", "tab before", "The tab at the left."),
        ("next_sample", "]", "next answers", "The answers of the next evaluation."),
        ("previous_sample", "[", "answers before", "The answers of the evaluation before."),
        ("log_axis", "a", "log axis", "Draw the loss on a logarithmic axis, or a linear one."),
    ),
    Action(
        "delete",
        "d",
        "delete",
        "Delete the run with its checkpoints and exports.",
        "runs",
        danger=True,
        footer=False,
    ),
    # Chat
    Action("send", "enter", "send", "Ask all the models.", "prompt"),
    *_quiet("prompt", ("newline", "ctrl+j", "new line", "Break the line.")),
    Action("stop", "escape", "stop", "Stop the answers; else leave the box or return.", "chat"),
    Action(
        "again", "ctrl+r", "again", "Answer the last question once more, with a new seed.", "chat"
    ),
    Action("system", "ctrl+t", "system", "Change the system prompt.", "chat"),
    Action(
        "vote", "v,alt+v", "vote", "Say which answer is better; kept as preference data.", "chat"
    ),
    Action("blind", "b,alt+g", "blind", "Hide who is who until you have voted.", "chat"),
    Action("add", "a,alt+a", "add column", "Add a model at the right.", "chat"),
    *_quiet(
        "chat",
        ("change", "t,alt+t", "model", "Put another model into the column."),
        ("remove", "x,alt+x", "remove", "Take the column away."),
        ("copy", "y,alt+y", "copy", "Copy the answer to the clipboard and to a file."),
        ("next_column", "]", "next column", "To the column at the right."),
        ("previous_column", "[", "column before", "To the column at the left."),
    ),
    # Export
    Action("export", "x", "export", "Export what is marked, or the type here.", "export"),
    Action("mark", "space", "mark", "Mark the type, or take the mark away.", "export"),
    Action("choose", "o", "other model", "Choose another run or model folder.", "export"),
    Action("cancel", "c", "cancel", "Cancel the export at work.", "export"),
    Action("delete", "d", "delete", "Delete the exported file.", "export", danger=True),
    *_quiet("export", ("copy", "y", "copy path", "Copy the path of the exported file.")),
]

# scope of a widget: the panes and dialogs that it can have the focus in, where both have keys
INSIDE: dict[str, tuple[str, ...]] = {
    "list": ("data", "runs", "export"),
    "tokens": ("data",),
    "text": ("data", "train", "runs", "chat", "export"),
    "prompt": ("chat", "dialog"),
    "form": ("train", "dialog", "output"),
    "value": ("train", "dialog", "output"),
    "choice": ("dialog",),
    "path": ("dialog", "choice"),
    "searching": ("dialog",),
    "filtering": ("dialog", "choice"),
}

SCOPE_TITLES = {
    "app": "everywhere",
    "list": "lists",
    "text": "texts",
    "tokens": "tokens of a row",
    "form": "form",
    "value": "writing a value",
    "dialog": "dialogs",
    "question": "questions",
    "choice": "choosing",
    "path": "paths",
    "searching": "searching",
    "filtering": "filtering",
    "output": "new files",
    "prompt": "writing",
    "data": "Data",
    "train": "Train",
    "runs": "Runs",
    "chat": "Chat",
    "export": "Export",
}


def of_scope(scope: str) -> list[Action]:
    """The actions of one scope, in their order."""
    return [action for action in ACTIONS if action.scope == scope]


def overlap(one: str, other: str) -> bool:
    """Whether keys of the two scopes can be meant by the same key press."""
    # nothing of the app behind these is reachable
    modal = ("dialog", "question", "choice", "path", "searching", "filtering", "output")
    if "app" in (one, other):
        return not {one, other} & set(modal)
    return one == other or other in INSIDE.get(one, ()) or one in INSIDE.get(other, ())


def bindings(scope: str) -> list[BindingType]:
    """The bindings of a scope's widget, which has to be `Scoped`."""
    return [
        Binding(action.keys, f"act('{action.id}')", action.label, id=action.name)
        for action in of_scope(scope)
    ]


class Scoped:
    """A widget, screen or app whose keys come from the registry.

    It sets `scope` and `BINDINGS = bindings(scope)`, and has an `action_<id>` for each action.
    """

    scope: str = ""

    def why_not(self, action: str) -> str:
        """Why the action can't be done now, a sentence; empty when it can. Its key stays listed."""
        return ""

    def footer_actions(self) -> list[Action]:
        """What the footer shows of this scope, most wanted first."""
        return [action for action in of_scope(self.scope) if action.footer]

    async def action_act(self, action: str) -> None:
        """What every binding calls: does the action, or says why not."""
        reason = self.why_not(action)
        if reason:
            app = self.app if isinstance(self, DOMNode) else self
            app.say(reason, "warning")  # type: ignore[attr-defined]
            return
        result = getattr(self, f"action_{action}")()
        if isawaitable(result):
            await result


def scoped_chain(node: DOMNode | None) -> list[Scoped]:
    """The widgets with keys of their own, from the node up to the app, or to a modal screen."""
    chain: list[Scoped] = []
    while node is not None:
        if isinstance(node, Scoped) and node.scope:
            chain.append(node)
        node = None if isinstance(node, Screen) and node.is_modal else node.parent
    return chain
