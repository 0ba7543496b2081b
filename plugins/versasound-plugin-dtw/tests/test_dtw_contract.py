"""What every aligner is asked."""

from versasound_core.testing import AlignerContract


class TestDTW(AlignerContract):
    name = "dtw"
