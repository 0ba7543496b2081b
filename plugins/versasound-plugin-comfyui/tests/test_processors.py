"""Processors behave as published."""

import math

import pytest
import torch
from comfyui_extension.utils.audio_processing import AudioProcessor
from comfyui_extension.utils.latent_utils import LatentProcessor
from comfyui_extension.utils.video_processing import VideoProcessor
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import AudioData, VideoClip
from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.scenes import random_scene, write_scene


def noise(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class TestVideo:
    @given(seed=st.integers(0, 99), count=st.integers(1, 4), std=st.floats(0.01, 3), mean=st.floats(-2, 2))
    def test_normalise_and_denormalise_are_inverses(self, seed, count, std, mean):
        video = noise((count, 5, 7, 3), seed)
        processor = VideoProcessor()
        there = processor.normalize_video(video, [mean] * 3, [std, std * 2, std / 2])
        assert there.shape == (1, count, 3, 5, 7)
        back = processor.denormalize_video(there, [mean] * 3, [std, std * 2, std / 2])
        assert (back - video).abs().max() <= 1e-6
        assert (processor.denormalize_video(processor.normalize_video(video)) - video).abs().max() <= 1e-6

    def test_normalised_values(self):
        made = VideoProcessor().normalize_video(torch.full((1, 1, 1, 3), 0.5), [0.1, 0.2, 0.3], [0.5, 1, 2])
        assert made.flatten().tolist() == pytest.approx([0.8, 0.3, 0.1])

    @pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest", "area"])
    def test_resize_keeps_the_layout(self, how):
        processor = VideoProcessor()
        flat = torch.full((2, 10, 20, 3), 0.25)
        assert torch.allclose(processor.resize_video(flat, (5, 8), how), torch.full((2, 5, 8, 3), 0.25), atol=1e-6)
        assert processor.resize_video(noise((1, 2, 3, 10, 20)), (5, 8), how).shape == (1, 2, 3, 5, 8)

    def test_frames_by_timestamp(self, tmp_path):
        path = write_scene(random_scene(1, 2.0), tmp_path / "scene.mp4", fps=30, height=64)
        processor = VideoProcessor()
        every = processor.extract_frames(path)
        assert every.shape[0] == 60
        assert 0 <= every.min() <= every.max() <= 1
        info = VideoClip.open(path).info
        begins = [info.seconds(pts) for pts in info.pts]
        shown = [max(n for n, begin in enumerate(begins) if begin <= k / 10 + 1e-3) for k in range(7)]
        assert torch.equal(processor.extract_frames(path, fps=10, max_frames=7), every[shown])

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda p: p.normalize_video(torch.zeros(3, 3)), r"floats \[N, H, W, C\]; got torch.float32 \[3, 3\]"),
            (lambda p: p.normalize_video(torch.zeros(1, 2, 2, 3), [0.5], [1.0]), "must have 3 values"),
            (lambda p: p.normalize_video(torch.zeros(1, 2, 2, 3), [0.5] * 3, [1.0, 0, 1]), "std must be above 0"),
            (lambda p: p.denormalize_video(torch.zeros(1, 2, 2, 3)), r"floats \[B, T, C, H, W\]"),
            (lambda p: p.resize_video(torch.zeros(1, 2, 2, 3), (0, 5)), "1 pixel or more"),
            (lambda p: p.resize_video(torch.zeros(1, 2, 2, 3), (5, 5), "lanczos"), "interpolation must be"),
            (lambda p: p.extract_frames("x.mp4", max_frames=0), "max_frames"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, call, words):
        with pytest.raises(InvalidInputError, match=words):
            call(VideoProcessor())

    def test_missing_file(self, tmp_path):
        with pytest.raises(MediaError, match="nothing.mp4"):
            VideoProcessor().extract_frames(tmp_path / "nothing.mp4")


class TestAudio:
    def test_saved_and_loaded(self, tmp_path):
        audio = AudioData(noise((1, 2, 4800)) - 0.5, 48000)
        processor = AudioProcessor()
        processor.save_audio(audio, tmp_path / "sound.wav")
        assert (processor.load_audio(tmp_path / "sound.wav").waveform - audio.waveform).abs().max() < 2**-23
        mono = processor.load_audio(tmp_path / "sound.wav", sample_rate=16000, mono=True)
        assert (mono.shape, mono.sample_rate) == ((1, 1, 1600), 16000)

    def test_resample(self):
        audio = AudioData(torch.sin(torch.arange(16000) * 2 * math.pi * 440 / 16000)[None, None], 16000)
        made = AudioProcessor().resample(audio, original_rate=16000, target_rate=44100)
        wanted = torch.sin(torch.arange(44100) * 2 * math.pi * 440 / 44100)
        assert made.sample_rate == 44100
        assert (made.waveform[0, 0, 1000:-1000] - wanted[1000:-1000]).abs().max() < 1e-3

    @pytest.mark.parametrize("level", [-40.0, -20.0, -12.0])
    def test_normalise_to_a_level(self, level):
        audio = AudioData(torch.stack([noise((2, 16000)) - 0.5, (noise((2, 16000), 1) - 0.5) / 100]))
        made = AudioProcessor().normalize(audio, target_level=level)
        rms_db = 10 * torch.log10(made.waveform.square().mean((1, 2)))
        assert rms_db.tolist() == pytest.approx([level, level], abs=1e-4)

    def test_normalise_clips_nothing_and_leaves_silence(self):
        click = torch.zeros(1, 1, 16000)
        click[..., 5] = 0.1
        with pytest.warns(UserWarning, match="peaks too high for -20 dB"):
            assert AudioProcessor().normalize(AudioData(click)).waveform.abs().max() == pytest.approx(1)
        silence = AudioData(torch.zeros(1, 1, 100))
        assert torch.equal(AudioProcessor().normalize(silence).waveform, silence.waveform)
        with pytest.raises(InvalidInputError, match="target_level"):
            AudioProcessor().normalize(silence, 3.0)

    def test_boosts_reach_their_bands(self):
        time = torch.arange(48000) / 48000
        audio = AudioData(sum(0.1 * torch.sin(2 * math.pi * hz * time) for hz in (50, 1000, 12000))[None, None], 48000)

        def gains(made):
            before, after = (torch.fft.rfft(a.waveform[0, 0]).abs() for a in (audio, made))
            return [float(after[hz] / before[hz]) for hz in (50, 1000, 12000)]

        boosted = AudioProcessor().enhance_frequencies(audio, bass_boost=1.5)
        assert gains(boosted) == pytest.approx([1.5, 1, 1], rel=0.06)
        assert gains(AudioProcessor().enhance_frequencies(audio, treble_boost=2.0)) == pytest.approx([1, 1, 2], rel=0.1)

    def test_denoise_and_compress(self):
        hiss = 0.003 * (noise((1, 1, 96000)) - 0.5)
        tone = torch.zeros(1, 1, 96000)
        tone[..., 48000:72000] = 0.5 * torch.sin(torch.arange(24000) / 10)
        processor, audio = AudioProcessor(), AudioData(hiss + tone, 48000)
        quiet = processor.denoise(audio, strength=1.0)
        assert quiet.waveform[..., 8000:40000].square().mean() < 0.1 * audio.waveform[..., 8000:40000].square().mean()
        assert torch.allclose(processor.denoise(audio, strength=0.0).waveform, audio.waveform, atol=1e-6)
        steps = torch.where(torch.arange(96000) < 48000, 0.05, 0.5) * torch.sin(torch.arange(96000) / 10)
        made = processor.compress(AudioData(steps[None, None], 48000), ratio=0.5).waveform[0, 0]
        before = steps[60000:90000].square().mean() / steps[10000:40000].square().mean()
        after = made[60000:90000].square().mean() / made[10000:40000].square().mean()
        assert after < 0.7 * before


class Vae:
    """The nearest pixel and back, as pictures or as video."""

    def decode(self, samples):
        video = samples[:, :3].movedim(1, -1)
        return video.repeat_interleave(8, -2).repeat_interleave(8, -3)

    def encode(self, pixels):
        return torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)


class TestLatents:
    @pytest.mark.parametrize(
        ("shape", "images", "info"),
        [
            ((2, 4, 3, 5), (2, 24, 40, 3), {"channels": 4, "num_frames": 1, "is_video": False}),
            ((1, 16, 3, 5), (1, 24, 40, 3), {"channels": 16, "num_frames": 1, "is_video": False}),
            ((1, 16, 7, 3, 5), (7, 24, 40, 3), {"channels": 16, "num_frames": 7, "is_video": True}),
        ],
    )
    def test_decode_and_info(self, shape, images, info):
        latents = {"samples": noise(shape)}
        processor = LatentProcessor()
        assert processor.decode_latents(latents, Vae()).shape == images
        found = processor.get_latent_info(latents)
        assert found["shape"] == list(shape)
        assert (found["height"], found["width"], found["device"]) == (3, 5, "cpu")
        assert {key: found[key] for key in info} == info

    def test_encode(self):
        images = noise((2, 3, 5, 4)).repeat_interleave(8, 1).repeat_interleave(8, 2)
        made = LatentProcessor().encode_to_latents(images, Vae())
        assert torch.allclose(made["samples"], images[:, ::8, ::8, :3].movedim(-1, 1), atol=1e-6)

    @pytest.mark.parametrize(
        "latents", [None, {}, {"samples": torch.zeros(3, 3)}, {"samples": torch.zeros(0, 4, 2, 2)}]
    )
    def test_what_is_no_latent(self, latents):
        with pytest.raises(InvalidInputError, match="latents must be"):
            LatentProcessor().decode_latents(latents, Vae())
