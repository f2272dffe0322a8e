"""The Data pane's way to say how rows become tokens."""

from __future__ import annotations

from core.data.escape import visible
from tui.data.base import DataBase
from tui.data.dataset import Answer
from tui.data.dialogs.template import TemplateDialog


class DataTemplate(DataBase):
    """Opens the dialog, and tells it what came of a choice."""

    def why_not(self, action: str) -> str:
        if action == "template" and not self.state.opened:
            return self.state.trouble or "The rows are still being read."
        return super().why_not(action)

    def take_opened(self, answer: Answer) -> None:
        if answer["kind"] == "opened":
            model, own = answer["model"] or {}, self.config.data.chat_template is None
            self.row.template = "" if own else visible(model.get("template_name", ""))
        super().take_opened(answer)
        for screen in self.app.screen_stack:
            if isinstance(screen, TemplateDialog) and answer["kind"] == "opened":
                screen.take(answer)

    def action_template(self) -> None:
        here, source = self.here, self.rows.source
        row = source.row(here) if source is not None and here is not None else None
        self.app.push_screen(TemplateDialog(self.state.opened, row))
