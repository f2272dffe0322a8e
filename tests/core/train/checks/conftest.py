"""The trainer that a worker would build, as the tests of the building have it."""

from tests.core.train.test_build import assemble

__all__ = ["assemble"]
