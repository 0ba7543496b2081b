"""What every backend is asked, whatever its role."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pytest

from versasound_core import registry
from versasound_core.errors import Cancelled, VersaSoundError, in_words
from versasound_core.hooks import PLUGIN_FAILURES
from versasound_core.registry import Backend, State

from .outside import HEAVY, LIST, LOAD, SLOW, ask, own_sources, pickling
from .watch import CountingToken, WatchedContext, changed, process_state, unpickling

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.cards import BackendCard, OptionSpec, Role
    from versasound_core.context import RunContext

METHODS: dict[Role, str] = {"encoder": "encode", "generator": "generate", "aligner": "estimate", "refiner": "refine"}


class Contract:
    """Derive from the contract of a role; pytest collects the class if its name begins with `Test`.

    A test that a backend has a reason to fail is marked and not replaced:

        @pytest.mark.xfail(reason="the model ignores seeds", strict=True)
        def test_the_same_seed_gives_the_same_samples(self):
            super().test_the_same_seed_gives_the_same_samples()

    Attributes:
        name: Of the backend.
        options: To make it with, as on its card; what is left out has the card's default.
        tolerance: How far a batch may be from its items made one by one.
    """

    role: ClassVar[Role]
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-5
    _made: ClassVar[Any] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._made = None
        if "test_no_test_is_replaced" in vars(cls):
            raise TypeError(f"{cls.__name__} replaces the test that looks whether tests are replaced.")

    # What the tests are made of

    def fail(self, sentence: str, cause: BaseException | None = None) -> NoReturn:
        """End the test with one sentence that names the backend."""
        raise pytest.fail.Exception(f"{self.role} {self.name}: {sentence}", pytrace=cause is not None) from cause

    def found(self) -> Backend:
        """Return what the registry knows of the backend."""
        candidates = [b for b in registry.backends(self.role) if self.name in {b.name, b.full_name, b.bare_name}]
        exact = [b for b in candidates if self.name in {b.name, b.full_name}]
        if not candidates:
            self.fail(
                f"nothing that is installed offers it; its entry point belongs to the group versasound.{self.role}s."
            )
        if not exact:
            self.fail(f"its name is also claimed by others: {', '.join(b.full_name for b in candidates)}.")
        return exact[0]

    def card(self) -> BackendCard:
        """Return the card."""
        backend = self.found()
        if backend.card is None:
            self.fail(f"it is {backend.state}: {backend.reason}")
        return backend.card

    def make(self, **options: Any) -> Any:
        """Make a backend with the class's options and these."""
        try:
            return registry.create(self.role, self.found().name, **{**self.options, **options})
        except PLUGIN_FAILURES as error:
            self.fail(f"it cannot be made: {in_words(error)}", error)

    def backend(self) -> Any:
        """Return a backend with the class's options: one for all tests, as a run has one for all clips."""
        if type(self)._made is None:
            type(self)._made = self.make()
        return type(self)._made

    def call(self, *arguments: Any, ctx: RunContext | None = None, backend: Any = None) -> Any:
        """Call the method of the role; whatever it raises fails the test."""
        try:
            return self.raw_call(*arguments, ctx=ctx, backend=backend)
        except PLUGIN_FAILURES as error:
            self.fail(f"{METHODS[self.role]}() raised {type(error).__name__}: {_text(error)}", error)

    def raw_call(self, *arguments: Any, ctx: RunContext | None = None, backend: Any = None) -> Any:
        """Call the method of the role, and let through what it raises."""
        backend = backend or self.backend()
        method = getattr(backend, METHODS[self.role], None)
        if method is None:
            self.fail(f"{type(backend).__name__} has no method {METHODS[self.role]}().")
        return method(*arguments, ctx or WatchedContext.make())

    def work(self, ctx: RunContext | None = None, call: Callable[..., Any] | None = None) -> Any:
        """Do the ordinary work of the role once; each role says what that is."""
        raise NotImplementedError

    # The card

    def test_no_test_is_replaced(self) -> None:
        """A contract of which a part is left out is none."""
        cls = type(self)
        for name in dir(cls):
            own = getattr(cls, name)
            home = next(base for base in cls.__mro__ if name in vars(base))
            first = next((b for b in reversed(cls.__mro__) if name in vars(b)), home)
            if not name.startswith("test_") or home is first or not first.__module__.startswith(__package__ or "?"):
                continue
            marks = getattr(own, "pytestmark", [])
            if not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks):
                self.fail(
                    f"{home.__name__} replaces {name}; mark it @pytest.mark.xfail(reason=...) to say why it fails."
                )

    def test_its_card_can_be_read(self) -> None:
        """Its state is ready, and nobody else claims its name."""
        backend = self.found()
        if backend.state not in {State.READY, State.LOADED}:
            self.fail(f"it is {backend.state}: {backend.reason}")

    def test_its_card_is_complete(self) -> None:
        """Whoever chooses by the card finds what there is to know."""
        card = self.card()
        missing = [name for name in ("summary", "code_licence") if not str(getattr(card, name)).strip()]
        if (card.weights or card.variants) and not card.weights_licence:
            missing.append("weights_licence")
        missing += [f"help of option {spec.name}" for spec in card.options.values() if not spec.help.strip()]
        for name, fields in card.variants.items():
            lacking = [
                key for key in ("repository", "size_gb", "licence") if not isinstance(fields, dict) or key not in fields
            ]
            missing += [f"{key} of variant {name}" for key in lacking]
        if missing:
            self.fail(f"its card lacks: {', '.join(missing)}.")

    def test_it_is_listed_without_being_imported(self) -> None:
        """Listing works where no heavy module can be imported, and imports nothing of the plugin."""
        self._installed()
        found = self._ask(LIST, *HEAVY)
        if len(found) != 1 or found[0][0] != "ready":
            self.fail(f"where heavy modules are missing it is listed as {found[0][:2] if found else 'nothing'}.")
        if found[0][2]:
            self.fail("listing it imports it; no .pth file or hook may do that.")

    def test_loading_it_is_light_and_leaves_the_process_alone(self) -> None:
        """Importing and making it loads no model library, and changes nothing that is the user's."""
        self._installed()
        loaded, touched = self._ask(LOAD, json.dumps(self.options, default=str), *SLOW)
        if loaded:
            self.fail(f"importing it loads {', '.join(loaded)}; import that where it is first used.")
        if touched:
            self.fail(f"importing it changes {', '.join(touched)}.")

    def test_it_has_the_method_of_its_role(self) -> None:
        """A class with the right method has the role."""
        if not callable(getattr(self.backend(), METHODS[self.role], None)):
            self.fail(f"{type(self.backend()).__name__} has no method {METHODS[self.role]}().")

    def test_it_takes_every_value_that_its_card_allows(self) -> None:
        """The constructor takes each choice, both bounds and both states of each option."""
        for spec in self.card().options.values():
            for value in _values(spec):
                self.make(**{spec.name: value})

    def test_its_code_reads_no_pickle(self) -> None:
        """A pickle runs what it likes; weights are safetensors."""
        sources = own_sources(self.found().target)
        if not sources:
            pytest.skip("it was registered at run time, and has no package of its own")
        for path in sources:
            for line, what in pickling(path):
                self.fail(f"{path.name}, line {line}: {what}; keep weights as safetensors.")

    # Running

    def test_it_leaves_the_process_as_it_was(self) -> None:
        """No global random state, default, logging or folder changes, in a first run nor in a later one."""
        backend = self.make()

        def call(*arguments: Any, **keywords: Any) -> Any:
            return self.call(*arguments, backend=backend, **keywords)

        for _ in range(2):
            before = process_state()
            self.work(call=call)
            if touched := changed(before):
                self.fail(f"running it changes {', '.join(touched)}; draw from a generator of its own.")

    def test_it_unpickles_nothing(self) -> None:
        """Neither while it loads its weights nor while it runs."""
        backend = self.make()
        with unpickling() as names:
            self.work(call=lambda *arguments, **keywords: self.call(*arguments, backend=backend, **keywords))
        if names:
            self.fail(f"it unpickles {names[0]}; a pickle runs what it likes, so use safetensors or JSON.")

    def test_progress_rises_within_0_and_1(self) -> None:
        """What it reports can be shown as a bar."""
        ctx = WatchedContext.make()
        self.work(ctx)
        for fraction in ctx.raw:
            if not (isinstance(fraction, int | float) and -1e-9 <= fraction <= 1 + 1e-9):
                self.fail(f"it reports a progress of {fraction!r}, outside 0 to 1.")
        for (before, _), (after, message) in zip(ctx.told, ctx.told[1:], strict=False):
            if after < before - 1e-9:
                self.fail(f"its progress goes back from {before:.3f} to {after:.3f} ({message}).")
        if any(not isinstance(message, str) for _, message in ctx.told):
            self.fail("the message of a progress report is no text.")

    def test_it_stops_when_it_is_cancelled(self) -> None:
        """It stops before it begins, or at its next step, and works again afterwards."""
        counting = CountingToken()
        self.work(WatchedContext.make(counting))
        if counting.looks == 0:
            self.fail("it never calls ctx.check() or ctx.report(), and so cannot be cancelled.")
        for after in sorted({0, counting.looks // 2, counting.looks - 1}):
            token = CountingToken(after)
            try:
                self.work(WatchedContext.make(token), call=self.raw_call)
            except Cancelled:
                continue
            except PLUGIN_FAILURES as error:
                self.fail(f"when it is cancelled it raises {type(error).__name__}: {_text(error)}", error)
            self.fail(f"it was cancelled at its step {after + 1} of {counting.looks} and went on to the end.")
        self.work()

    def test_it_runs_where_it_is_told(self) -> None:
        """On the CPU everything stays there; where there is a GPU it runs on that."""
        import torch

        devices = [
            "cpu",
            *(["cuda"] if torch.cuda.is_available() else ["mps"] if torch.backends.mps.is_available() else []),
        ]
        for device in devices:
            made = self.work(WatchedContext.make(device=device))
            where = getattr(made, "device", None)
            if where is not None and where.type not in {"cpu", device}:
                self.fail(f"told to run on {device} it answers on {where}.")

    # Helpers

    def refuses_in_words(self, what: str, *arguments: Any) -> Any | None:
        """Return what comes of legal input that is unusual; None where that is refused in words of the house."""
        try:
            return self.raw_call(*arguments)
        except VersaSoundError:
            return None
        except PLUGIN_FAILURES as error:
            self.fail(
                f"{what} raises {type(error).__name__}: {_text(error)}; do it, or raise a child of VersaSoundError.",
                error,
            )

    def _installed(self) -> None:
        if not self.found().version:
            pytest.skip("it was registered at run time, and other processes do not know it")

    def _ask(self, code: str, *words: str) -> Any:
        try:
            return ask(code, self.role, self.name, *words)
        except ChildProcessError as error:
            self.fail(f"in a process of its own it ends with {error}")


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())


def _values(spec: OptionSpec) -> list[Any]:
    if spec.choices is not None:
        return list(spec.choices)
    if spec.type == "bool":
        return [True, False]
    return [bound if spec.type == "float" else int(bound) for bound in (spec.min, spec.max) if bound is not None]
