"""The Train pane: the configuration as a form, and the plan beside it."""
