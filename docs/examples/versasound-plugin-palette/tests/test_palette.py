from versasound_core.testing import EncoderContract


class TestPalette(EncoderContract):
    name = "palette"
