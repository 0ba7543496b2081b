"""What every aligner is asked."""

from versasound_core.testing import AlignerContract


class TestCrossCorrelation(AlignerContract):
    name = "cross_correlation"
