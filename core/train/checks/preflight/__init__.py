"""What would make a run fail or teach nothing, said before its first step.

data.py looks at the rows, model.py at the model that is loaded, files.py at what lies on the disk
before anything runs. A check raises AfinaError with what is wrong and the way out.
"""

from core.train.checks.preflight.data import check_data, data_warnings
from core.train.checks.preflight.model import (
    check_family,
    check_model,
    check_model_folder,
    check_targets,
)

__all__ = [
    "check_data",
    "check_family",
    "check_model",
    "check_model_folder",
    "check_targets",
    "data_warnings",
]
