"""What every refiner is asked."""

from versasound_core.testing import RefinerContract


class TestMastering(RefinerContract):
    name = "mastering"
