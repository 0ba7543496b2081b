from versasound_core.testing import AlignerContract


class TestFirstBeat(AlignerContract):
    name = "first_beat"
