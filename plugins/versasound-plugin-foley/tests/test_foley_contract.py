"""What every generator is asked."""

from versasound_core.testing import GeneratorContract


class TestFoley(GeneratorContract):
    name = "foley"
