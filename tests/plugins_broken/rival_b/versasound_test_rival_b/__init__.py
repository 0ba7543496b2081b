"""One of two distributions that claim one name."""


class Bell:
    """Rings."""

    maker = "rival_b"
