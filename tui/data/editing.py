"""Changing rows: edited in the person's editor, dropped, and both taken back.

Nothing here touches the file: changes are pending in the home until they are written to a new one.
"""

from __future__ import annotations

from collections.abc import Callable

from core.data.escape import visible
from core.errors import AfinaError
from tui.actions import Action
from tui.data.base import DataBase
from tui.data.dataset import Answer
from tui.data.edits import Draft, Pending, refusal_words, rows_words
from tui.dialogs.question import Question
from tui.shell import editor
from tui.widgets.token_view import TokenView

CHANGES = ("edit", "drop", "undo")
LOOKS = ("ids", "boundaries", "json", "other_answer")
IN_ROW = ("tokens", "edit", "drop")  # wanted most while a row is read


class DataEdit(DataBase):
    """The rows' edits and drops."""

    def __init__(self, **options) -> None:  # noqa: ANN003
        super().__init__(**options)
        self.pending = Pending()

    def footer_actions(self) -> list[Action]:
        """With the row in focus its keys come first; with pending work the one that writes it."""
        first = IN_ROW if self.row.has_focus_within else ()
        first = ("write", *first) if self.pending else first
        actions = super().footer_actions()
        return sorted(actions, key=lambda action: action.id not in first)

    def why_not(self, action: str) -> str:
        if action in LOOKS:
            return self._why_no_look(action)
        if action not in CHANGES:
            return super().why_not(action)
        if self.afina.readonly:
            return "The workbench was opened to look only (--readonly)."
        if self.here is None:
            return "No rows are open."
        if not self.state.opened:
            return self.state.trouble or "The rows are still being read."
        if action == "undo" and not self._to_undo():
            return f"{rows_words(self._wanted_rows()).capitalize()}: nothing is to be taken back."
        return ""

    def _why_no_look(self, action: str) -> str:
        if self.here is None:
            return "No rows are open."
        if action != "json" and not self.rows.encodable:
            return self.state.trouble or "The rows are not encoded yet."
        if action == "other_answer" and self.row.shown.rejected is None:
            return "The row has one answer; those of a preference have two."
        return ""

    # what is pending

    def take_opened(self, answer: Answer) -> None:
        super().take_opened(answer)
        if answer["kind"] == "opened":
            self._ask_pending()

    def _ask_pending(self) -> None:
        self.ask("pending", self._take_pending)

    def _forget_requests(self) -> None:
        super()._forget_requests()
        self._keep(Pending())  # of another file; what is pending here is asked for once it is open

    def _take_pending(self, answer: Answer) -> None:
        lost = answer.get("lost", 0)
        if lost and lost != self.pending.lost:
            words = "An edit has" if lost == 1 else f"{lost:,} edits have"
            self.afina.say(f"{words} lost the row: the file has changed since.", "warning")
        self._keep(Pending(frozenset(answer["edited"]), frozenset(answer["dropped"]), lost))

    def _keep(self, pending: Pending) -> None:
        self.pending = pending
        self.state.pending = pending.words()
        for place in (self.row, self.rows):
            place.edited, place.dropped = self.pending.edited, self.pending.dropped
        self.row.draw_words()
        self.table.refresh()
        self.draw_facts()

    def _changed(self, rows: list[int], words: str) -> None:
        """Rows are others now: asks for everything about them, and says what is pending."""

        def take(answer: Answer) -> None:
            self._take_pending(answer)
            self.rows_edited(rows)
            left = f" {self.pending.words()}: w writes a new file." if self.pending else ""
            self.afina.say(words + left)

        self.ask("pending", take)

    def _wanted_rows(self) -> list[int]:
        """The marked rows, else the one under the cursor."""
        here = self.here
        return sorted(self.rows.marked) or ([] if here is None else [here])

    # edit

    def action_edit(self) -> None:
        here = self.here
        assert here is not None
        draft = Draft(self.home, self.subject.path, here)
        kept = draft.read()
        if kept is None:
            self._edit_anew(here, draft)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._open_editor(here, draft, kept)
            elif yes is False:
                self._edit_anew(here, draft)

        words = f"A text of this row that could not be used is in {visible(str(draft.path))}\n\n"
        words += "Go on with it? No begins with the row as it is."
        self.app.push_screen(Question(f"edit row {here + 1:,}", words), answered)

    def _edit_anew(self, row: int, draft: Draft) -> None:
        def take(answer: Answer) -> None:
            self._open_editor(row, draft, answer["text"])

        self.ask("editable", take, row=row)

    def _open_editor(self, row: int, draft: Draft, text: str) -> None:
        """Gives the terminal to the editor; what comes back is checked by the worker."""
        try:
            named = editor.fallback()
            draft.write(text)
            with self.app.suspend():
                edited = editor.edit_file(draft.path)
        except AfinaError as error:
            self.afina.say(str(error), "error")
            return
        except OSError as error:
            self.afina.say(f'Can\'t keep the text in "{draft.path}": {error.strerror}.', "error")
            return
        if edited == text:
            draft.forget()
            said = f" {named} was opened: $EDITOR names another editor." if named else ""
            self.afina.say(f"Row {row + 1:,} was left as it is.{said}")
            return
        self.ask("edit", self._checked(row, draft, edited), row=row, text=edited)

    def _checked(self, row: int, draft: Draft, text: str) -> Callable[[Answer], None]:
        def take(answer: Answer) -> None:
            if answer["ok"]:
                draft.forget()
                self._changed([row], f"Row {row + 1:,} is edited.")
            else:
                self._ask_again(row, draft, text, answer)

        return take

    def _ask_again(self, row: int, draft: Draft, text: str, answer: Answer) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._open_editor(row, draft, text)
            else:
                self.afina.say(f"The text is kept in {draft.path}; e goes on with it.")

        words = refusal_words(answer["problems"], draft.path)
        self.app.push_screen(Question(f"row {row + 1:,} can't be used so", words), answered)

    # drop

    def action_drop(self) -> None:
        rows = [row for row in self._wanted_rows() if row not in self.pending.dropped]
        if not rows:
            words = rows_words(self._wanted_rows()).capitalize()
            self.afina.say(f"{words}: dropped already. u takes it back.", "warning")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                words = f"{rows_words(rows).capitalize()} will be left out."
                self.ask("drop", lambda _: self._changed(rows, words), rows=rows, on=True)

        which = "The marked rows are" if self.rows.marked else "The row is"
        words = f"{which} left out of the file that w writes. This file stays as it is, and u takes"
        self.app.push_screen(Question(f"drop {rows_words(rows)}?", f"{words} it back."), answered)

    # undo

    def _to_undo(self) -> list[int]:
        """Of the wanted rows those that are dropped, else those that are edited."""
        wanted = self._wanted_rows()
        dropped = [row for row in wanted if row in self.pending.dropped]
        return dropped or [row for row in wanted if row in self.pending.edited]

    def action_undo(self) -> None:
        rows = self._to_undo()
        if rows[0] in self.pending.dropped:
            words = f"{rows_words(rows).capitalize()} will be written again."
            self.ask("drop", lambda _: self._changed(rows, words), rows=rows, on=False)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._undo_edits(rows)

        words = "What was edited is lost; the text of the file stands again."
        self.app.push_screen(
            Question(f"take back the edit of {rows_words(rows)}?", words), answered
        )

    def _undo_edits(self, rows: list[int]) -> None:
        words = f"{rows_words(rows).capitalize()}: as in the file again."
        for row in rows[:-1]:
            self.ask("edit", lambda _: None, row=row, text=None)
        # requests are answered in order, so the last answer means that all are done
        last = rows[-1]
        self.ask("edit", lambda _: self._changed(rows, words), row=last, text=None)

    # how the row is drawn

    def action_tokens(self) -> None:
        self.row.toggle_tokens()

    def action_ids(self) -> None:
        self.row.toggle_ids()

    def action_boundaries(self) -> None:
        self.row.toggle_boundaries()

    def action_json(self) -> None:
        self.row.toggle_json()

    def action_other_answer(self) -> None:
        self.row.switch_side()

    def on_token_view_passed(self, event: TokenView.Passed) -> None:
        """On to the next row with a problem, with the cursor where the problem is."""
        self.row.arrive(event.step)
        action = "next_problem" if event.step > 0 else "previous_problem"
        self.call_later(self.action_act, action)
