from versasound_core.testing import GeneratorContract


class TestBeep(GeneratorContract):
    name = "beep"
    seedless = True
