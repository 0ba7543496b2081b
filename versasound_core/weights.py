"""Trained weights: which there are, whether they are on this machine, and how to get them.

Running a backend never downloads: what is missing is an error that says what to fetch. Only `fetch` uses the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from .cards import CARD_FILE, BackendCard, Role, read_card
from .errors import InvalidInputError, ModelLoadError, VersaSoundError

# Functions of a host program that name more folders with weights. Each is laid out as the hub's cache, or holds a plain
# folder for each repository, called by the last part of its name.
more_caches: list[Callable[[], list[Path]]] = []
Model = TypeVar("Model")
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


@attrs.frozen(kw_only=True)
class Checkpoint:
    """One variant of a backend's weights, as its card has it under `variants`.

    Args:
        role: Of the backend.
        backend: Its name.
        variant: Its name on the card.
        repository: On the Hugging Face hub, `owner/name`.
        size_gb: What a download takes.
        licence: Of the weights.
        gated: Whether the owner asks for an account and consent first.
        revision: The commit to fetch, where `main` has no safetensors file; None for `main`.
        files: Patterns of the files that are needed; where they are names, these and no others make a checkpoint.
        also: Other variants of the card that it is of no use without.
    """

    role: Role
    backend: str
    variant: str
    repository: str
    size_gb: float
    licence: str
    gated: bool = False
    revision: str | None = None
    files: tuple[str, ...] = attrs.field(default=_FILES, converter=tuple)
    also: tuple[str, ...] = attrs.field(default=(), converter=tuple)

    @property
    def names(self) -> tuple[str, ...]:
        """The files that make it, if it is laid out otherwise than checkpoints of transformers and diffusers are."""
        return () if any("*" in name for name in self.files) else self.files

    @property
    def command(self) -> str:
        """What fetches it."""
        return f"versasound pull {self.backend} --variant {self.variant}"

    def __str__(self) -> str:
        return f"{self.repository} ({self.size_gb:g} GB, licence: {self.licence})"


def checkpoint(card: BackendCard | None, role: Role, backend: str, variant: str) -> Checkpoint:
    """Find a variant on a card.

    Raises:
        InvalidInputError: If the card has no such variant, or its entry is malformed.
    """
    variants = card.variants if card else {}
    fields = variants.get(variant)
    if fields is None:
        known = ", ".join(variants) or "none, for it needs no weights"
        raise InvalidInputError(f"{role} {backend} has no variant {variant!r}.", f"It has: {known}.")
    allowed = {field.name for field in attrs.fields(Checkpoint)} - {"role", "backend", "variant"}
    if not isinstance(fields, Mapping):
        raise InvalidInputError(f"{role} {backend}: variant {variant} must be a mapping, not {fields!r}.")
    try:
        known_fields = {key: value for key, value in fields.items() if key in allowed}
        return Checkpoint(role=role, backend=backend, variant=variant, **known_fields)
    except TypeError as error:
        raise InvalidInputError(f"{role} {backend}: variant {variant} is malformed: {error}.") from error


def own_card(module_file: str, role: Role, backend: str) -> BackendCard:
    """Read the card that lies beside a plugin's module (`own_card(__file__, "encoder", "clip")`)."""
    _, card = read_card(Path(module_file).with_name(CARD_FILE), role, backend)
    if card is None:
        raise ModelLoadError(
            f"{role} {backend} is written for another core.", "Update versasound-core and its plugins."
        )
    return card


def hub_cache() -> Path:
    """Where the Hugging Face hub keeps its downloads, by the variables that its own library reads."""
    if given := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"


def find(wanted: Checkpoint, folder: str | Path | None = None) -> Path:
    """Return the folder with a checkpoint's files. Uses no network.

    Args:
        wanted: Which.
        folder: The user's own folder, in place of the hub's cache.

    Raises:
        ModelLoadError: If files are missing; it says how to fetch them, and what works without them.
    """
    if folder is not None:
        own = Path(folder).expanduser()
        if lack := _lacking(own, wanted.names):
            files = " and ".join(wanted.names) or "config.json, *.safetensors and what lies beside them"
            raise ModelLoadError(
                f"{own} is no checkpoint for {wanted.role} {wanted.backend}: {lack}.",
                f"Wanted are the files of {wanted.repository}: {files}.",
            )
        return own
    lack = "nothing of it is on this machine"
    for snapshot in _snapshots(wanted):
        found = _lacking(snapshot, wanted.names)
        if found is None:
            return snapshot
        lack = found
    gate = f"Accept its terms on https://huggingface.co/{wanted.repository} and log in (hf auth login) first. "
    raise ModelLoadError(
        f"The weights of {wanted.role} {wanted.backend} cannot be loaded: {wanted}: {lack}.",
        f"{gate if wanted.gated else ''}Fetch them: {wanted.command}. {_without(wanted.role)}",
    )


def _without(role: Role) -> str:
    from .config import BACKEND_KEYS
    from .recipe import Recipe

    name, key = getattr(Recipe(), role), ".".join(BACKEND_KEYS[role])
    return f"Without weights, {role} {name} works: --{role} {name}, or in a configuration {key}: {name}."


def unreadable(wanted: Checkpoint, folder: Path, error: BaseException) -> ModelLoadError:
    """Return the error for files that are there and cannot be used."""
    what = " ".join(str(error).split()) or type(error).__name__
    return ModelLoadError(
        f"The weights of {wanted.role} {wanted.backend} in {folder} cannot be used: {what[:300]}",
        f"Remove that folder and fetch {wanted} again: {wanted.command}. {_without(wanted.role)}",
    )


def built(wanted: Checkpoint, folder: Path | None, build: Callable[[Path | None], Model]) -> Model:
    """Return what `build` makes of a folder with a checkpoint's files, or at random of None. The global RNG stays.

    Raises:
        ModelLoadError: If it fails; it says whether the library or the files are to be mended.
    """
    import torch

    state = torch.get_rng_state()
    torch.default_generator.manual_seed(0)  # random weights are the same every time
    try:
        return build(folder)
    except VersaSoundError:
        raise
    except ImportError as error:
        raise ModelLoadError(
            f"{wanted.role.capitalize()} {wanted.backend} cannot load its model library: {error}.",
            f"pip install -U versasound-plugin-{wanted.backend.replace('_', '-')}",
        ) from error
    except Exception as error:
        raise unreadable(wanted, folder or Path(), error) from error
    finally:
        torch.set_rng_state(state)


def fetch(wanted: Checkpoint, cache: str | Path | None = None) -> Path:
    """Download a checkpoint and return its folder.

    Files that an earlier attempt brought are not fetched again. Progress is shown by the hub's own library.

    Args:
        wanted: Which.
        cache: A folder laid out as the hub's cache, one of those where weights are looked for; the hub's own if not
            given.

    Raises:
        ModelLoadError: If the hub's library is missing, the network is off or fails, or access is not granted.
    """
    try:
        from huggingface_hub import HfApi, constants, errors, snapshot_download
    except ImportError as error:
        message = "Fetching weights needs the package huggingface_hub."
        raise ModelLoadError(message, f"pip install versasound-plugin-{wanted.backend.replace('_', '-')}") from error
    if constants.HF_HUB_OFFLINE:
        raise ModelLoadError(f"HF_HUB_OFFLINE forbids fetching {wanted}.", "Unset HF_HUB_OFFLINE and try again.")
    try:
        revision = wanted.revision or (None if wanted.names else _with_safetensors(HfApi(), wanted.repository))
        snapshot_download(
            wanted.repository, revision=revision, cache_dir=cache or hub_cache(), allow_patterns=list(wanted.files)
        )
    except (errors.HFValidationError, errors.HfHubHTTPError, OSError, ValueError) as error:
        gate = f"Accept its terms on https://huggingface.co/{wanted.repository}, then: hf auth login. "
        raise ModelLoadError(
            f"{wanted} cannot be fetched: {' '.join(str(error).split())[:300]}",
            f"{gate if wanted.gated else 'Check the network. '}The same command goes on where this one stopped.",
        ) from error
    return find(wanted)


def _with_safetensors(api: Any, repository: str) -> str | None:  # noqa: ANN401  (an HfApi)
    """Name the revision to fetch: None for `main`, or the hub's own conversion where `main` has pickles alone."""
    if any(name.endswith(".safetensors") for name in api.list_repo_files(repository)):
        return None
    for request in api.get_repo_discussions(repository, discussion_type="pull_request"):
        if request.author == "SFconvertbot":
            return str(request.git_reference)
    raise ValueError("it has no safetensors file, and pickled weights are not loaded")


def _snapshots(wanted: Checkpoint) -> list[Path]:
    """The snapshots there are, likeliest first: the hub's cache, then the folders of a host program."""
    more = [folder for name_folders in more_caches for folder in name_folders()]
    plain = [folder / wanted.repository.rpartition("/")[2] for folder in more]
    cached = [snapshot for cache in [hub_cache(), *more] for snapshot in _in_cache(cache, wanted)]
    return [*cached, *(folder for folder in plain if folder.is_dir())]


def _in_cache(cache: Path, wanted: Checkpoint) -> list[Path]:
    """The snapshots in one cache: the revision asked for, `main`, any other."""
    home = cache / f"models--{wanted.repository.replace('/', '--')}"
    main = home / "refs" / "main"
    try:
        names = [wanted.revision, main.read_text(encoding="utf-8").strip() if main.is_file() else None]
        others = sorted(path.name for path in (home / "snapshots").iterdir())
    except OSError:
        return []
    return [home / "snapshots" / name for name in dict.fromkeys([*names, *others]) if name in others]


def _lacking(folder: Path, names: tuple[str, ...]) -> str | None:
    """Say what is missing for a usable checkpoint; None if nothing is."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    if names and not (folder / "config.json").is_file():
        return next((f"{name} is missing" for name in names if not (folder / name).is_file()), None)
    roots = [name for name in ("config.json", "model_index.json") if (folder / name).is_file()]
    if not roots:
        return "config.json is missing"
    for config in folder.rglob("config.json"):
        if not any(config.parent.glob("*.safetensors")):
            return f"{config.parent.relative_to(folder) / '*.safetensors'} is missing"
    for index in folder.rglob("*.safetensors.index.json"):
        for shard in sorted(set(_shards(index))):
            if not (index.parent / shard).is_file():
                return f"{(index.parent / shard).relative_to(folder)} is missing"
    return None


def _shards(index: Path) -> list[str]:
    try:
        content: Any = json.loads(index.read_text(encoding="utf-8"))
        return [str(name) for name in content["weight_map"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{index} cannot be read: {error}.", "Remove its folder and fetch it again.") from error
