"""Configuration: one class a section, each usable by attribute and by item, read from YAML and written back.

What a setting may be is said once, in its `OptionSpec`; assignment, the YAML check and the reference page follow it.
"""

# ruff: noqa: RUF009  (attrs fields, declared through functions)
from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import attrs
from attrs.validators import optional

from .cards import ROLES, OptionSpec, Role
from .config_v1 import migrate
from .errors import InvalidInputError
from .yaml_files import read_yaml

if TYPE_CHECKING:
    import os

    from .registry import Registry

DEFAULT_CONFIG = Path(__file__).with_name("default_config.yaml")
# The section that speaks of a role, and its key that names the backend.
BACKEND_KEYS: dict[Role, tuple[str, str]] = {
    "encoder": ("visual_encoder", "backbone"),
    "generator": ("audio_generator", "default_model"),
    "aligner": ("temporal_aligner", "sync_method"),
    "refiner": ("audio_refiner", "backend"),
}


class ConfigMigrationWarning(FutureWarning):
    """A configuration file of an older layout was read; the message says what to change in it."""


class UnknownKeyError(InvalidInputError, KeyError):
    """A configuration has no such key."""


class Section(Mapping[str, Any]):
    """Gives an attrs class the item access of a dict; both ways see the same checked values."""

    __slots__ = ()

    @classmethod
    def path(cls, key: str = "") -> str:
        """Name a key as in messages: `DeviceConfig.path("precision")` is `device.precision`."""
        words = [word.lower() for word in re.findall("[A-Z][a-z]*", cls.__name__)[:-1]]
        return ".".join(filter(None, ("_".join(words), key)))

    @classmethod
    def names(cls) -> list[str]:
        """The keys, in the order of a file."""
        return [field.name for field in attrs.fields(cast("Any", cls))]

    @classmethod
    def from_mapping(cls, given: object) -> Self:
        """Make the section of a mapping, as YAML gives it; None and missing keys mean the defaults.

        Raises:
            UnknownKeyError: For a key that the section does not have, naming the nearest that it has.
            InvalidInputError: For a value that a key cannot take.
        """
        if given is None:
            return cls()
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"{cls.path() or 'the file'} is {given!r}: wanted `key: value` lines.")
        for key in given:
            cls._require(key)
        return cls(**given)

    @classmethod
    def _require(cls, key: object) -> None:
        if key not in cls.names():
            near = difflib.get_close_matches(str(key), cls.names(), 1)
            hint = f"Did you mean {cls.path(near[0])}?" if near else f"There is: {', '.join(cls.names())}."
            raise UnknownKeyError(f"there is no key {cls.path(str(key))}.", hint)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        self._require(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: object) -> None:
        self._require(key)
        setattr(self, key, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


def _plain(value: object) -> object:
    """Turn NumPy's numbers into Python's, which YAML can write."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _check(instance: Section, attribute: attrs.Attribute[Any], value: object) -> None:
    attrs.evolve(attribute.metadata["spec"], name=instance.path(attribute.name)).check(value)


def _number(value: object) -> object:
    value = _plain(value)
    return float(value) if type(value) is int and abs(value) <= sys.float_info.max else value


_CONVERTERS: dict[str, Callable[[object], object]] = {"int": _plain, "float": _number}


def setting(default: Any, help: str, *, nullable: bool = False, **limits: Any) -> Any:  # noqa: A002, ANN401
    """Declare a setting; `limits` are the fields of its `OptionSpec`, the type is that of the default."""
    kind: Any = type(default).__name__
    spec = OptionSpec(name="", type=kind, default=default, help=help, **limits)
    return attrs.field(
        default=default,
        converter=_CONVERTERS.get(spec.type),
        validator=optional(_check) if nullable else _check,
        metadata={"spec": spec},
    )


def _check_device(instance: Section, attribute: attrs.Attribute[Any], value: object) -> None:
    if not (isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value)):
        raise InvalidInputError(
            f"{instance.path(attribute.name)}={value!r}: wanted auto, cuda, mps or cpu (cuda:1 for the second GPU)."
        )


def _check_options(instance: Section, attribute: attrs.Attribute[Any], value: object) -> None:
    if not (isinstance(value, dict) and all(isinstance(name, str) for name in value)):
        raise InvalidInputError(f"{instance.path(attribute.name)}={value!r}: wanted `name: value` lines.")


def backend_options() -> Any:  # noqa: ANN401
    """Declare the free mapping that is handed to the section's backend and checked against its card."""
    return attrs.field(
        factory=dict,
        converter=lambda given: dict(given) if isinstance(given, Mapping) else {} if given is None else given,
        validator=_check_options,
    )


@attrs.define
class VisualEncoderConfig(Section):
    """How the picture is turned into features."""

    backbone: str = setting("videomae", "Encoder, by the name that `versasound plugins` lists.")
    input_size: int = setting(224, "Side of the square that frames are scaled to.", min=1, unit="px")
    feature_dim: int = setting(768, "Width of the feature vectors.", min=1)
    temporal_pooling: str = setting(
        "attention", "How frames are summed up.", choices=("attention", "avg", "max", "none")
    )
    spatial_pooling: str = setting(
        "avg", "How the places of a frame are summed up.", choices=("avg", "max", "cls_token")
    )
    freeze_backbone: bool = setting(True, "Leave the encoder's weights as they are when training.")
    options: dict[str, Any] = backend_options()


@attrs.define
class AudioGeneratorConfig(Section):
    """How sound is made."""

    default_model: str = setting("audioldm2", "Generator, by the name that `versasound plugins` lists.")
    num_inference_steps: int = setting(50, "Diffusion steps; more is slower and finer.", min=1)
    guidance_scale: float = setting(10.0, "How closely the prompt is followed.", min=0)
    sample_rate: int = setting(16000, "Samples per second of the sound.", min=1, unit="Hz")
    default_duration: float | None = setting(
        5.0, "Length where no clip gives one; null takes the clip's own.", min=0, unit="s", nullable=True
    )
    options: dict[str, Any] = backend_options()


@attrs.define
class TemporalAlignerConfig(Section):
    """How sound is moved onto what is seen."""

    hidden_dim: int = setting(512, "Width of a learned aligner.", min=1)
    num_layers: int = setting(4, "Depth of a learned aligner.", min=1)
    sync_method: str = setting("learned", "Aligner, by the name that `versasound plugins` lists, or none.")
    sync_strength: float = setting(0.5, "0 leaves the sound as it is, 1 moves every event all the way.", min=0, max=1)
    options: dict[str, Any] = backend_options()


@attrs.define
class AudioRefinerConfig(Section):
    """How the finished sound is polished."""

    normalize: bool = setting(True, "Bring the sound to the target loudness.")
    denoise_strength: float = setting(0.5, "How much steady noise is taken out.", min=0, max=1)
    bass_boost: float = setting(1.0, "Gain of the low end; 1 leaves it.", min=0)
    treble_boost: float = setting(1.0, "Gain of the high end; 1 leaves it.", min=0)
    compression_ratio: float = setting(0.7, "How much loud and soft are brought together.", min=0, max=1)
    backend: str = setting("mastering", "Refiner, by the name that `versasound plugins` lists, or none.")
    options: dict[str, Any] = backend_options()


@attrs.define
class MemoryConfig(Section):
    """How memory is spared."""

    max_batch_size: int = setting(8, "Items computed at a time.", min=1)
    clear_cache_after_generation: bool = setting(True, "Give the GPU's unused memory back after each run.")
    use_gradient_checkpointing: bool = setting(False, "Trade time for memory when training.")


@attrs.define
class DeviceConfig(Section):
    """Where and in which number format models compute."""

    device_type: str = attrs.field(
        default="auto",
        validator=_check_device,
        metadata={"spec": OptionSpec(name="", type="str", default="auto", help="auto, cuda, cuda:N, mps or cpu.")},
    )
    precision: str = setting("fp16", "Number format of models.", choices=("fp16", "fp32", "bf16"))
    use_autocast: bool = setting(True, "Let PyTorch keep sensitive steps in fp32.")


@attrs.define
class LoggingConfig(Section):
    """What is said while working."""

    level: str = setting("INFO", "The least that is said.", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
    log_to_file: bool = setting(False, "Write to `log_file` too.")
    log_file: str = setting("versasound.log", "File that is appended to, in UTF-8.")


def _section(cls: type[Section]) -> Any:  # noqa: ANN401
    return attrs.field(factory=cls, converter=cls.from_mapping)


@attrs.define
class Config(Section):
    """The whole configuration: `config.device.precision` and `config["device"]["precision"]` are the same value.

    Raises:
        InvalidInputError: On making or assigning a value that the key cannot take, saying what came and what is wanted.
    """

    visual_encoder: VisualEncoderConfig = _section(VisualEncoderConfig)
    audio_generator: AudioGeneratorConfig = _section(AudioGeneratorConfig)
    temporal_aligner: TemporalAlignerConfig = _section(TemporalAlignerConfig)
    audio_refiner: AudioRefinerConfig = _section(AudioRefinerConfig)
    memory: MemoryConfig = _section(MemoryConfig)
    device: DeviceConfig = _section(DeviceConfig)
    logging: LoggingConfig = _section(LoggingConfig)

    def backend(self, role: Role) -> tuple[str, dict[str, Any]]:
        """Return the name and the options of the backend chosen for a role."""
        section = self.section(role)
        return section[BACKEND_KEYS[role][1]], section["options"]

    def section(self, role: Role) -> Section:
        """Return the section that speaks of a role."""
        section: Section = self[BACKEND_KEYS[role][0]]
        return section


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration; what a file leaves out keeps its default, and no path means the defaults.

    A file of the v1.0.0 layout is read too, with one `ConfigMigrationWarning` that says what to change in it.

    Raises:
        InvalidInputError: The file is missing, unreadable or no YAML (with line and column), or has a key or value
            that is not allowed; the message names the file.
    """
    source = DEFAULT_CONFIG if path is None else Path(path)
    try:
        raw = read_yaml(source)
        if isinstance(raw, dict):
            raw, moved, ignored = migrate(raw, {name: section.names() for name, section in Config().items()})
            if moved or ignored:
                warnings.warn(_advice(source, moved, ignored), ConfigMigrationWarning, stacklevel=2)
        return Config.from_mapping(raw)
    except InvalidInputError as error:
        raise type(error)(f"{source}: {error.message}", error.hint) from None


def to_yaml(config: Config) -> str:
    """Return the configuration as YAML that `load_config` reads back to an equal one.

    Raises:
        InvalidInputError: For an option that YAML cannot write, such as an object.
    """
    import yaml

    plain = attrs.asdict(config, filter=lambda attribute, value: attribute.name != "options" or bool(value))
    try:
        # Escaping whatever is not ASCII: PyYAML writes some of Unicode's line breaks in a way it does not read back.
        return yaml.safe_dump(plain, sort_keys=False)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"an option cannot be written as YAML: {error}.") from error


def save_config(config: Config, path: str | os.PathLike[str]) -> None:
    """Write the configuration to a file, whole or not at all.

    Raises:
        InvalidInputError: For an option that YAML cannot write.
        MediaError: If the file cannot be written.
    """
    from .media.atomic import written_whole

    text = to_yaml(config)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_against_cards(config: Config, registry: Registry) -> None:
    """Check the options that sections carry against the cards of their backends, importing no backend.

    Raises:
        InvalidInputError: For an option that the backend does not have or a value it cannot take.
        PluginError: If a backend that is given options is not installed or not usable.
    """
    for role in ROLES:
        name, options = config.backend(role)
        card = registry.get(role, name).card if options else None
        if card is not None:
            try:
                card.complete(options)
            except InvalidInputError as error:
                raise InvalidInputError(f"options of the {role} {name}: {error.message}", error.hint) from None


def _advice(source: Path, moved: list[str], ignored: list[str]) -> str:
    lines = [f"{source} is in an older layout. It was read; change it so:", *(f"  {line}" for line in moved)]
    if ignored:
        lines += ["Without successor, ignored:", *(f"  {line}" for line in ignored)]
    return "\n".join(lines)
