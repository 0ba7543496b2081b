"""What every aligner is asked."""

from versasound_core.testing import AlignerContract


class TestLearned(AlignerContract):
    name = "learned"
