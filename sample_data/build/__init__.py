"""How everything in `sample_data/` was made: the world, its phrasings, the base, the data sets."""
