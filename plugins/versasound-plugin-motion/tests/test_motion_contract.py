"""What every encoder is asked."""

from versasound_core.testing import EncoderContract


class TestMotion(EncoderContract):
    name = "motion"
