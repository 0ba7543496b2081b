"""The one node that downloads: it names what, how large and under which licence, and runs when it is asked to."""

from __future__ import annotations

from comfy_api.latest import io

from versasound_core.cards import ROLES
from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.weights import Checkpoint, checkpoint, fetch, find
from versasound_plugin_comfyui import registry
from versasound_plugin_comfyui.host import running
from versasound_plugin_comfyui.weights import folders

from . import inputs

_NOTHING = "nothing that is installed needs weights"


class FetchWeights(io.ComfyNode):
    """Weights, into ComfyUI's own folder for models."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the weights that the installed backends can use."""
        names = list(_known()) or [_NOTHING]
        return io.Schema(
            node_id="VersaSound_FetchWeights",
            display_name="Fetch Weights",
            category=inputs.CATEGORY,
            description="Fetches the weights of a backend from the Hugging Face hub into models/versasound. Nothing "
            "else in VersaSound downloads. An interrupted download goes on where it stopped.",
            is_output_node=True,
            not_idempotent=True,
            inputs=[
                io.Combo.Input("weights", options=names, tooltip="What, how large, and under which licence."),
                io.Boolean.Input(
                    "agreed",
                    default=False,
                    label_on="licence accepted",
                    label_off="not accepted",
                    tooltip="Nothing is fetched before you accept the licence that the entry names.",
                ),
            ],
            outputs=[io.String.Output("folder")],
        )

    @classmethod
    def execute(cls, weights: str, agreed: bool) -> io.NodeOutput:
        """Fetch them, unless they are there."""
        wanted = _known().get(weights)
        if wanted is None:
            raise InvalidInputError(f"there are no weights {weights!r}.", "Choose one of the list.")
        try:
            return io.NodeOutput(str(find(wanted)))
        except ModelLoadError:
            if not agreed:
                raise InvalidInputError(f"{wanted} was not fetched.", "Accept its licence in the node.") from None
        with running() as ctx:
            ctx.report(0.0, f"fetching {wanted}")
            return io.NodeOutput(str(fetch(wanted, folders()[0])))


def _known() -> dict[str, Checkpoint]:
    found = {}
    for role in ROLES:
        for backend in registry.usable(role):
            for variant in backend.card.variants if backend.card else ():
                one = checkpoint(backend.card, role, backend.bare_name, variant)
                found[f"{role} {backend.name}, {variant}: {one.size_gb:g} GB, {one.licence}"] = one
    return found
