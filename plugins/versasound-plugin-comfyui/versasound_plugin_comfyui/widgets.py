"""From cards to ComfyUI's widgets and back: an option is written once, on its backend's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from versasound_core.errors import InvalidInputError, VersaSoundError

from . import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.cards import OptionSpec, Role

NONE = "none"
_MOST = 2**53 - 1  # the largest whole number that a browser holds
_OWN = "(its own)"


def choice(role: Role, *, none: bool = False, tooltip: str = "") -> Any:  # noqa: ANN401  (an input of ComfyUI)
    """Return a drop-down of the backends of a role; choosing one shows its options.

    Args:
        role: Encoder, generator, aligner or refiner.
        none: Whether the role may be left out.
        tooltip: What the role is for.
    """
    options = []
    for backend in registry.usable(role):
        specs = backend.card.options.values() if backend.card else ()
        options.append(io.DynamicCombo.Option(backend.name, [widget(spec) for spec in specs]))
    if none:
        options.append(io.DynamicCombo.Option(NONE, []))
    return io.DynamicCombo.Input(role, options=options, tooltip=tooltip)


def widget(spec: OptionSpec) -> Any:  # noqa: ANN401
    """Return the widget of an option."""
    tooltip = " ".join(filter(None, (spec.help, f"({spec.unit})" if spec.unit else "")))
    if spec.choices is not None:
        choices = [_OWN] * (spec.default is None) + [str(choice) for choice in spec.choices]
        first = _OWN if spec.default is None else str(spec.default)
        return io.Combo.Input(spec.name, options=choices, default=first, tooltip=tooltip)
    if spec.type == "bool":
        return io.Boolean.Input(spec.name, default=bool(spec.default), tooltip=tooltip)
    if spec.type in {"str", "path"}:
        return io.String.Input(spec.name, default=str(spec.default or ""), tooltip=tooltip)
    low, high = spec.min if spec.min is not None else -_MOST, spec.max if spec.max is not None else _MOST
    default: float = low if spec.default is None else spec.default
    if spec.default is None:
        default = low = _unset(spec)
        tooltip = f"{tooltip} {default:g} leaves it to the backend."
    if spec.type == "int":
        return io.Int.Input(
            spec.name, default=int(default), min=int(low), max=int(high), step=int(spec.step or 1), tooltip=tooltip
        )
    step = spec.step or 0.01
    return io.Float.Input(spec.name, default=float(default), min=low, max=high, step=step, tooltip=tooltip)


def chosen(role: Role, value: Mapping[str, Any] | str) -> tuple[str | None, dict[str, Any]]:
    """Return the backend that a drop-down names, None for none, and its options, checked against its card.

    Args:
        role: Its role.
        value: What ComfyUI gives: `{role: name, option: value, ...}`, or the name alone where it does not know it.

    Raises:
        PluginError: There is no such backend, or it cannot be used.
        InvalidInputError: A value that an option cannot take.
    """
    given = {role: value} if isinstance(value, str) else dict(value)
    name = given.pop(role)
    if name == NONE:
        return None, {}
    card = registry.find(role, name).card
    specs = card.options if card else {}
    options = {key: _meant(specs[key], value) for key, value in given.items() if key in specs and value is not None}
    try:
        if card:
            card.complete(options)
    except InvalidInputError as error:
        raise InvalidInputError(f"{role} {name}: {error.message}", error.hint) from None
    return name, options


def refusal(**values: Any) -> str | bool:  # noqa: ANN401
    """Return why drop-downs cannot be used as they are set, for `validate_inputs`; True if they can."""
    for role, value in values.items():
        if value is None:
            return f"no {role} is chosen."
        try:
            chosen(role, value)  # type: ignore[arg-type]  # the names of the inputs are those of the roles
        except VersaSoundError as error:
            return str(error)
    return True


def _unset(spec: OptionSpec) -> float:
    """A number that the option cannot take, to stand for none."""
    if spec.min is None:
        return -_MOST
    return 0 if spec.min > 0 else spec.min - 1


def _meant(spec: OptionSpec, value: Any) -> Any:  # noqa: ANN401
    if spec.choices is not None:
        return next((choice for choice in spec.choices if str(choice) == str(value)), None if value == _OWN else value)
    if spec.default is None and value in ("", _unset(spec) if spec.type in {"int", "float"} else ""):
        return None
    return value
