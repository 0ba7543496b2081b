"""Entry points that lead to nothing that can be used."""

from versasound_core.errors import ModelLoadError

NUMBER = 7


class Fails:
    """Cannot be made."""

    def __init__(self):
        raise RuntimeError("the constructor failed")


class Speaks:
    """Says itself what is wrong."""

    def __init__(self):
        raise ModelLoadError("there are no weights.", "Get them.")
