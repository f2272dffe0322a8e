"""Everything that works without a terminal: data, configuration, runs, training, chat, scores."""
