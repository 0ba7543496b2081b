"""Nodes that look: a clip or latents in, visual features out; and what was seen, as a picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from versasound_core.errors import InvalidInputError
from versasound_plugin_comfyui.host import named, running
from versasound_plugin_comfyui.registry import kept
from versasound_plugin_comfyui.widgets import choice, chosen, refusal

from . import inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.containers import VideoClip, VisualFeatures

    Choice = Mapping[str, Any]


class VisualFeatureExtractor(io.ComfyNode):
    """What a clip looks like, when something strikes, and what it may be."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the encoders that are installed now."""
        return io.Schema(
            node_id="VersaSound_VisualFeatureExtractor",
            display_name="Visual Feature Extractor",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Looks at a video: what it looks like over time, when something strikes, and what it may be. "
            "The frame rate is the video's own.",
            inputs=[io.Video.Input("video"), choice("encoder", tooltip=inputs.ENCODER)],
            outputs=_seen(),
        )

    @classmethod
    def validate_inputs(cls, encoder: Any = None) -> bool | str:
        """Refuse an encoder that cannot be used, with the reason."""
        return refusal(encoder=encoder)

    @classmethod
    def execute(cls, video: Any, encoder: Choice, **_: Any) -> io.NodeOutput:
        """Look at the clip."""
        from versasound_plugin_comfyui.video import clip_of

        return _looked(clip_of(video), encoder)


class LatentToVisualFeatures(io.ComfyNode):
    """What latents look like, before they are a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the encoders that are installed now."""
        return io.Schema(
            node_id="VersaSound_LatentToVisualFeatures",
            display_name="Latent to Visual Features",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Decodes latents and looks at the pictures. Latents have no frame rate: say how "
            "fast they play.",
            inputs=[
                io.Latent.Input("latents"),
                io.Vae.Input("vae"),
                io.Float.Input("fps", default=24.0, min=0.1, max=1000.0, step=0.01, tooltip="Pictures a second."),
                choice("encoder", tooltip=inputs.ENCODER),
            ],
            outputs=_seen(),
        )

    @classmethod
    def validate_inputs(cls, encoder: Any = None) -> bool | str:
        """Refuse an encoder that cannot be used, with the reason."""
        return refusal(encoder=encoder)

    @classmethod
    def execute(cls, latents: Any, vae: Any, fps: float, encoder: Choice, **_: Any) -> io.NodeOutput:
        """Decode, and look at the pictures."""
        from comfyui_extension.looking import clip_of_pictures
        from comfyui_extension.utils.latent_utils import LatentProcessor

        pictures = LatentProcessor().decode_latents(latents, vae).float()
        return _looked(clip_of_pictures(pictures, fps), encoder)


class EventTrack(io.ComfyNode):
    """When something strikes, as a picture and as numbers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return io.Schema(
            node_id="VersaSound_EventTrack",
            display_name="Event Track",
            category=inputs.CATEGORY,
            description="Shows when something moves and strikes in a video.",
            is_output_node=True,
            inputs=[inputs.Features.Input("visual_features")],
            outputs=[
                io.Image.Output("timeline"),
                io.String.Output("events", tooltip="JSON: time_s, strength and position of each strike, item by item."),
            ],
        )

    @classmethod
    def execute(cls, visual_features: VisualFeatures) -> io.NodeOutput:
        """Draw the events."""
        import torch

        from versasound_plugin_comfyui import timeline

        events = visual_features.events
        if events is None:
            raise InvalidInputError("these features have no events.", "Take them from Visual Feature Extractor.")
        pictures = torch.cat([timeline.draw(events, item) for item in range(events.batch_size)])
        found = [
            [
                {"time_s": round(t, 4), "strength": round(s, 3), "position": round(p, 3)}
                for (t, s), p in zip(*pair, strict=True)
            ]
            for pair in zip(events.onsets, events.positions, strict=True)
        ]
        return io.NodeOutput(pictures, json.dumps(found), ui=ui.PreviewImage(pictures, cls=cls))


def _seen() -> list[Any]:
    return [
        inputs.Features.Output("visual_features"),
        io.String.Output("labels", tooltip="What it may be, for encoders that have words."),
    ]


def _looked(clip: VideoClip, encoder: Choice) -> io.NodeOutput:
    from comfyui_extension.looking import look

    name, options = chosen("encoder", encoder)
    with running(("encoder", name)) as ctx:
        eyes = kept.create("encoder", str(name), **options)
        features: VisualFeatures = named("encoder", str(name), lambda: look(eyes, clip, ctx)).to("cpu")
    words = [", ".join(f"{word} ({score:.2f})" for word, score in item) for item in features.labels or []]
    return io.NodeOutput(features, "\n".join(words))
