"""Nodes that make and treat sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from versasound_core.errors import InvalidInputError
from versasound_plugin_comfyui.host import named, running
from versasound_plugin_comfyui.registry import kept
from versasound_plugin_comfyui.widgets import choice, chosen, refusal

from . import inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.containers import VisualFeatures

    Choice = Mapping[str, Any]


class AudioGenerator(io.ComfyNode):
    """Sound for what was seen."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the generators that are installed now."""
        return io.Schema(
            node_id="VersaSound_AudioGenerator",
            display_name="Audio Generator",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Makes sound for visual features and for the words of a prompt.",
            inputs=[
                inputs.Features.Input("visual_features"),
                *inputs.prompts(),
                *inputs.seeds(),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=36000.0,
                    step=0.1,
                    tooltip="Seconds. 0: as long as the picture.",
                ),
                io.Int.Input("sample_rate", default=48000, min=8000, max=192000, tooltip="Hz."),
                choice("generator", tooltip=inputs.GENERATOR),
                *inputs.diffusion(),
            ],
            outputs=[
                io.Audio.Output("audio", tooltip="The variations as a batch."),
                io.String.Output("notes", tooltip="What was understood, and what was chosen."),
            ],
        )

    @classmethod
    def validate_inputs(cls, generator: Any = None) -> bool | str:
        """Refuse a generator that cannot be used, with the reason."""
        return refusal(generator=generator)

    @classmethod
    def execute(  # noqa: PLR0913, PLR0917  (the inputs)
        cls,
        visual_features: VisualFeatures,
        prompt: str,
        negative_prompt: str,
        seed: int,
        variations: int,
        duration: float,
        sample_rate: int,
        generator: Choice,
        steps: int,
        guidance: float,
        **_: Any,
    ) -> io.NodeOutput:
        """Make each variation."""
        from comfyui_extension.nodes.widgets import told

        from versasound_core.containers import GenerationRequest
        from versasound_plugin_comfyui import sounds

        name, options = chosen("generator", generator)
        requests = [
            GenerationRequest(
                duration_s=sounds.length_of(visual_features, duration),
                prompt=prompt.strip() or None,
                negative_prompt=negative_prompt.strip() or None,
                seed=seed + number,
                sample_rate=sample_rate,
                num_inference_steps=steps or None,
                guidance_scale=guidance or None,
            )
            for number in range(variations)
        ]
        with running(("generator", name)) as ctx:
            maker = kept.create("generator", str(name), **options)
            seen = visual_features.to(ctx.device)
            made = named("generator", str(name), lambda: sounds.variations(maker, seen, requests, ctx))
        audio = sounds.batch(made)
        return io.NodeOutput(told(audio), "\n".join(audio.metadata.get("notes", [])))


class TemporalSynchronizer(io.ComfyNode):
    """Sound moved onto what is seen."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the aligners that are installed now."""
        return io.Schema(
            node_id="VersaSound_TemporalSynchronizer",
            display_name="Temporal Synchronizer",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Moves a sound onto what is seen: whole strikes, without stretching them. What fits "
            "nowhere stays.",
            inputs=[
                io.Audio.Input("audio"),
                inputs.Features.Input("visual_features"),
                choice("aligner", tooltip=inputs.ALIGNER),
                inputs.strength(),
            ],
            outputs=[io.Audio.Output("audio"), io.String.Output("report", tooltip="How far the sound was off.")],
        )

    @classmethod
    def validate_inputs(cls, aligner: Any = None) -> bool | str:
        """Refuse an aligner that cannot be used, with the reason."""
        return refusal(aligner=aligner)

    @classmethod
    def execute(
        cls,
        audio: Any,
        visual_features: VisualFeatures,
        aligner: Choice,
        sync_strength: float,
        **_: Any,
    ) -> io.NodeOutput:
        """Measure, and move."""
        from comfyui_extension.models.clock import over
        from comfyui_extension.nodes.widgets import heard, told

        from versasound_core.sync import Sync
        from versasound_plugin_comfyui import sounds

        sound, (name, options) = heard(audio), chosen("aligner", aligner)
        features = over(visual_features, sound.duration)
        if features.shape[0] != sound.shape[0] and 1 not in {features.shape[0], sound.shape[0]}:
            message = f"{sound.shape[0]} sounds cannot follow {features.shape[0]} videos."
            raise InvalidInputError(message, "Give one video, or as many as there are sounds.")
        moved, said = [], []
        with running(("aligner", name)) as ctx:
            ears = kept.create("aligner", str(name), **options)
            for number, one in enumerate(sounds.items(sound)):
                part = ctx.part(number / sound.shape[0], (number + 1) / sound.shape[0])
                seen = sounds.item_of(features, min(number, features.shape[0] - 1))
                found = named("aligner", str(name), lambda o=one, s=seen, p=part: ears.estimate(o, s, p))  # type: ignore[misc]
                moved.append(found.apply(one, sync_strength))
                said.append(str(Sync(one, seen, found)))
        return io.NodeOutput(told(sounds.batch(moved)), "\n".join(said))


class AudioRefiner(io.ComfyNode):
    """Finished sound of raw sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the refiners that are installed now."""
        return io.Schema(
            node_id="VersaSound_AudioRefiner",
            display_name="Audio Refiner",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Brings a sound to a loudness under a true-peak ceiling; cleans and colours it on request.",
            search_aliases=["normalize", "loudness", "LUFS", "denoise", "mastering"],
            inputs=[io.Audio.Input("audio"), choice("refiner", tooltip=inputs.REFINER)],
            outputs=[io.Audio.Output("audio")],
        )

    @classmethod
    def validate_inputs(cls, refiner: Any = None) -> bool | str:
        """Refuse a refiner that cannot be used, with the reason."""
        return refusal(refiner=refiner)

    @classmethod
    def execute(cls, audio: Any, refiner: Choice, **_: Any) -> io.NodeOutput:
        """Refine it."""
        from comfyui_extension.nodes.widgets import heard, told

        sound, (name, options) = heard(audio), chosen("refiner", refiner)
        with running(("refiner", name)) as ctx:
            polisher = kept.create("refiner", str(name), **options)
            made = named("refiner", str(name), lambda: polisher.refine(sound, ctx))
        return io.NodeOutput(told(made))


class AudioBlender(io.ComfyNode):
    """Two sounds as one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        duck = "duck: the first gives way where the second has something to say."
        return io.Schema(
            node_id="VersaSound_AudioBlender",
            display_name="Audio Blender",
            category=inputs.CATEGORY,
            description="Joins two sounds at the loudness you ask for; the result is as long as the first.",
            inputs=[
                io.Audio.Input("audio_a"),
                io.Audio.Input("audio_b"),
                io.Combo.Input("mode", options=["mix", "duck"], default="mix", tooltip=duck),
                io.Float.Input(
                    "level_db",
                    default=0.0,
                    min=-60.0,
                    max=60.0,
                    step=0.5,
                    tooltip="Loudness of the second against the first, dB.",
                ),
            ],
            outputs=[io.Audio.Output("audio")],
        )

    @classmethod
    def execute(cls, audio_a: Any, audio_b: Any, mode: Any, level_db: float) -> io.NodeOutput:
        """Join them."""
        from comfyui_extension.nodes import AudioBlender as Blender
        from comfyui_extension.nodes.widgets import told

        return io.NodeOutput(told(Blender().blend(audio_a, audio_b, mode, level_db)))
