"""Nodes that take a clip and give it back with sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from comfy_api.latest import io

from versasound_core.cards import ROLES
from versasound_plugin_comfyui.host import Turns, running
from versasound_plugin_comfyui.registry import kept
from versasound_plugin_comfyui.widgets import choice, chosen, refusal

from . import inputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from versasound_core.registry import Registry

    Choice = Mapping[str, Any]


class AddSoundToVideo(io.ComfyNode):
    """A silent clip in, a clip with sound out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node, with the backends that are installed now."""
        return io.Schema(
            node_id="VersaSound_AddSoundToVideo",
            display_name="Add Sound to Video",
            category=inputs.CATEGORY,
            accept_all_inputs=True,  # an unknown backend too, so that validation can say what is wrong with it
            description="Puts sound to a video: looks at it, makes fitting sound, puts each sound on its moment. The "
            "picture is copied as it is, and the sound is as long as the picture, at any frame rate.",
            search_aliases=["foley", "video to audio", "sound effects", "sfx"],
            inputs=[
                io.Video.Input("video"),
                *inputs.prompts(),
                *inputs.seeds(),
                choice("encoder", tooltip=inputs.ENCODER),
                choice("generator", tooltip=inputs.GENERATOR),
                choice("aligner", none=True, tooltip=inputs.ALIGNER),
                choice("refiner", none=True, tooltip=inputs.REFINER),
                inputs.strength(),
                *inputs.own_sound(),
                *inputs.diffusion(),
            ],
            outputs=[
                io.Video.Output("video", tooltip="One for each variation.", is_output_list=True),
                io.Audio.Output("audio", tooltip="The sounds of all variations as a batch."),
                io.String.Output("notes", tooltip="What was understood, and what was chosen."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        encoder: Any = None,
        generator: Any = None,
        aligner: Any = None,
        refiner: Any = None,
    ) -> bool | str:
        """Refuse a backend that cannot be used, with the reason, before anything runs."""
        return refusal(encoder=encoder, generator=generator, aligner=aligner, refiner=refiner)

    @classmethod
    def execute(  # noqa: PLR0913, PLR0917  (the inputs)
        cls,
        video: Any,
        prompt: str,
        negative_prompt: str,
        seed: int,
        variations: int,
        encoder: Choice,
        generator: Choice,
        aligner: Choice,
        refiner: Choice,
        sync_strength: float,
        keep_original: str,
        original_level_db: float,
        steps: int,
        guidance: float,
        **_: Any,
    ) -> io.NodeOutput:
        """Look once, and make each variation."""
        import attrs
        from comfyui_extension.nodes.widgets import told

        from versasound_core.pipeline import Pipeline
        from versasound_core.recipe import Recipe
        from versasound_plugin_comfyui import sounds
        from versasound_plugin_comfyui.video import clip_of, with_sound

        roles: dict[str, Any] = {}
        for role, value in zip(ROLES, (encoder, generator, aligner, refiner), strict=True):
            roles[role], roles[f"{role}_options"] = chosen(role, value)
        with running(*((role, roles[role]) for role in ROLES)) as ctx:
            recipe = Recipe(
                **roles,
                prompt=prompt.strip() or None,
                negative_prompt=negative_prompt.strip() or None,
                seed=seed,
                sync_strength=sync_strength,
                keep_original=cast("Any", keep_original),
                original_level_db=original_level_db,
                num_inference_steps=steps or None,
                guidance_scale=guidance or None,
                device=ctx.device,
                precision=ctx.precision,
            )
            clip = clip_of(video)
            turns = Turns(ctx.report, variations)
            pipeline = Pipeline(recipe, attrs.evolve(ctx, progress=turns), cast("Registry", kept))
            features = pipeline.encode(clip)
            made = []
            for number in range(variations):
                turns.number = number
                made.append(pipeline.sound(clip, features, seed=seed + number))
            audio = sounds.batch(made)
            videos = [with_sound(clip, sound) for sound in sounds.items(audio)]
        return io.NodeOutput(videos, told(audio), "\n".join(audio.metadata.get("notes", [])))


class AttachSound(io.ComfyNode):
    """Any sound beside an untouched picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return io.Schema(
            node_id="VersaSound_AttachSound",
            display_name="Attach Sound to Video",
            category=inputs.CATEGORY,
            description="Puts a sound beside a video's picture, which is copied packet by packet.",
            search_aliases=["mux", "combine audio and video"],
            inputs=[io.Video.Input("video"), io.Audio.Input("audio"), *inputs.own_sound()],
            outputs=[io.Video.Output("video", tooltip="One for each sound of the batch.", is_output_list=True)],
        )

    @classmethod
    def execute(cls, video: Any, audio: Any, keep_original: str, original_level_db: float) -> io.NodeOutput:
        """Write a video for each sound of the batch."""
        from comfyui_extension.nodes.widgets import heard

        from versasound_core.media.audio import load_audio
        from versasound_core.media.blocks import joined
        from versasound_core.media.mixing import mix_original
        from versasound_plugin_comfyui import sounds
        from versasound_plugin_comfyui.video import clip_of, with_sound

        clip = clip_of(video)
        videos = []
        with running() as ctx:
            for number, sound in enumerate(sounds.items(heard(audio))):
                ctx.report(number / len(audio["waveform"]), "writing")
                mixed = sound
                if keep_original != "replace" and clip.has_audio:
                    own = load_audio(cast("Path", clip.path), sample_rate=sound.sample_rate)
                    mixed = joined(mix_original([sound], [own], cast("Any", keep_original), original_level_db))
                videos.append(with_sound(clip, mixed))
        return io.NodeOutput(videos)
