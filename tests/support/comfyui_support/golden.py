"""What is compared of a node's description: all but what the cards of the installed backends add to it.

Of the drop-downs the weightless defaults stay by name, and whole the backend `every`, which has an option of each kind.
"""

from __future__ import annotations

import json
from typing import Any

KEPT = ("input", "output", "output_name", "output_is_list", "display_name", "category", "description", "output_node")
DEFAULTS = ("motion", "foley", "cross_correlation", "mastering", "none")
EVERY = {
    "flag": {"type": "bool", "default": True, "help": "A flag."},
    "count": {"type": "int", "default": 3, "min": 1, "max": 9, "help": "A count."},
    "size": {"type": "int", "default": None, "min": 32, "max": 99, "unit": "px", "help": "A size of its own."},
    "length": {"type": "float", "default": 0.5, "min": 0.0, "max": 2.0, "step": 0.25, "unit": "s", "help": "A length."},
    "free": {"type": "float", "default": 1.0, "help": "A number."},
    "word": {"type": "str", "default": "x", "help": "A word."},
    "file": {"type": "path", "default": None, "help": "A file."},
    "kind": {"type": "str", "default": "a", "choices": ["a", "b"], "help": "A kind."},
    "own_kind": {"type": "str", "default": None, "choices": ["a", "b"], "help": "A kind of its own."},
}


def stable(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what does not change when a plugin is installed or a card is edited."""
    kept: dict[str, Any] = json.loads(json.dumps({key: facts[key] for key in KEPT}))
    for name, (kind, about) in kept["input"]["required"].items():
        if kind == "COMFY_DYNAMICCOMBO_V3":
            options = {option["key"]: option["inputs"] for option in about["options"]}
            about["options"] = {key: None for key in options if key in DEFAULTS}
            if "every" in options:
                about["options"]["every"] = options["every"]
        elif name == "weights":
            del about["options"]
    return kept
