"""The fault storm: everything that goes wrong around a run, and what must hold afterwards.

`python -m benchmarks.storm [--kills 200] [--only NAME] [--seed N]` prints a table of counts and
ends with 1 if anything did not hold. No code of `core` knows of it: faults come by signals, by
changed files, by mounts, and by `inject`, which a worker loads through PYTHONPATH.
"""
