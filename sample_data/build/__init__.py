"""How everything in `sample_data/` was made: the travel world, its phrasings, the base model, the data sets."""
