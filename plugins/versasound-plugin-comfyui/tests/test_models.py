"""The models are real modules, over any backend that is installed."""

import pytest
import torch
from comfyui_extension.models.audio_generator import UniversalAudioGenerator
from comfyui_extension.models.clock import over
from comfyui_extension.models.temporal_aligner import NothingToFollowWarning, TemporalAlignmentModule
from comfyui_extension.models.visual_encoder import UniversalVisualEncoder

from versasound_core.containers import AudioData, VideoClip, VisualFeatures
from versasound_core.errors import DeviceError, InvalidInputError
from versasound_core.scenes import random_scene, write_scene


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    return VideoClip.open(write_scene(random_scene(3, 2.0, confounders=False), path, fps=24, height=120))


@pytest.fixture(scope="module")
def frames(clip):
    return torch.cat([chunk.images for chunk in clip.frames()], 1).float() / 255


def encoder_of(name, **settings):
    with torch.random.fork_rng():
        return UniversalVisualEncoder(name, **settings)


class TestEncoder:
    @pytest.mark.parametrize("backbone", ["videomae", "clip", "dinov2"])
    @pytest.mark.filterwarnings("ignore::versasound_core.vision.encoder.UntrainedProjectionWarning")
    def test_trained_backbone(self, backbone, tiny_hub):
        pytest.importorskip(f"versasound_plugin_{backbone}")
        tiny_hub.add_all()
        encoder = encoder_of(backbone)
        seen = encoder(torch.randn(2, 5, 3, 32, 48))
        assert isinstance(seen, VisualFeatures)
        assert seen.shape == (2, 5, 768)
        assert seen.events.batch_size == 2
        assert sum(weight.numel() for weight in encoder.parameters()) > 1000
        again = encoder_of(backbone, pretrained=True)
        again.load_state_dict(encoder.state_dict())
        assert torch.equal(again(torch.zeros(1, 3, 3, 32, 32)).features, encoder(torch.zeros(1, 3, 3, 32, 32)).features)

    @pytest.mark.filterwarnings("ignore::versasound_core.vision.encoder.UntrainedProjectionWarning")
    def test_gradients_reach_the_projection_and_not_the_frozen_backbone(self, tiny_hub):
        pytest.importorskip("versasound_plugin_dinov2")
        tiny_hub.add_all()
        encoder = encoder_of("dinov2").train()
        seen = encoder(torch.rand(1, 2, 3, 32, 32))
        assert seen.events is None  # nobody trains on them
        seen.features.sum().backward()
        touched = {name for name, weight in encoder.named_parameters() if weight.grad is not None}
        assert touched == {"model.projection.weight"}

    @pytest.mark.filterwarnings("ignore::versasound_core.vision.encoder.UntrainedProjectionWarning")
    def test_tokens(self, tiny_hub):
        pytest.importorskip("versasound_plugin_dinov2")
        tiny_hub.add_all()
        tokens = encoder_of("dinov2")(torch.rand(1, 2, 3, 32, 32), return_all_tokens=True)
        assert tokens.shape[:2] == (1, 2)
        assert tokens.shape[3] == 768

    def test_backbone_without_weights(self, frames):
        encoder = encoder_of("motion")
        assert encoder(frames).shape == (1, frames.shape[1], 768)
        assert [name for name, _ in encoder.named_parameters()] == ["model.projection.weight"]
        with pytest.raises(InvalidInputError, match="no places"):
            encoder(frames, return_all_tokens=True)

    def test_a_file_keeps_its_times(self, clip):
        seen = encoder_of("motion")(clip)
        assert seen.fps == 25
        assert seen.shape == (1, 50, 768)

    def test_normalised_frames_are_the_same_pictures(self, frames):
        from comfyui_extension.utils.video_processing import VideoProcessor

        encoder = encoder_of("motion")
        normalised = VideoProcessor().normalize_video(frames[0].movedim(1, -1))
        pictures, normal = encoder(frames), encoder(normalised)
        assert torch.allclose(pictures.features, normal.features, atol=1e-2)
        assert normal.events.onsets == pictures.events.onsets

    @pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
    def test_absent_device(self):
        with pytest.raises(DeviceError, match="cuda"):
            UniversalVisualEncoder("motion", device="cuda")

    @pytest.mark.parametrize("video", [torch.zeros(3, 3), torch.zeros(1, 0, 3, 8, 8), None])
    def test_no_video(self, video):
        with pytest.raises(InvalidInputError, match="frames"):
            encoder_of("motion")(video)


class TestClock:
    def test_frames_without_a_rate_are_spread_over_the_sound(self, frames):
        seen = encoder_of("motion")(frames)
        spread = over(seen, 4.0)
        assert spread.fps == 12
        assert spread.events.duration_s == pytest.approx(4.0, rel=0.02)
        before, after = seen.events.onsets[0], spread.events.onsets[0]
        assert before
        assert [2 * time_s for time_s, _ in before] == pytest.approx([time_s for time_s, _ in after])
        assert spread.events.views[0].times_s[-1] == pytest.approx(2 * seen.events.views[0].times_s[-1])

    def test_a_known_rate_stays(self, clip):
        seen = encoder_of("motion")(clip)
        assert over(seen, 99.0) is seen


class TestGenerator:
    def test_length_rate_and_seed(self, frames):
        generator = UniversalAudioGenerator("foley")
        seen = encoder_of("motion")(frames)
        made = generator(visual_features=seen, prompt="footsteps", duration=2.5, seed=42)
        assert (made.duration, made.sample_rate, made.metadata["seed"]) == (2.5, 16000, 42)
        assert torch.equal(generator(seen, "footsteps", duration=2.5, seed=42).waveform, made.waveform)
        assert not torch.equal(generator(seen, "footsteps", duration=2.5, seed=43).waveform, made.waveform)

    def test_a_seed_that_nobody_chose_is_told(self, frames):
        generator = UniversalAudioGenerator("foley")
        seen = encoder_of("motion")(frames)
        made = generator(seen, "rain", duration=1.0)
        assert torch.equal(generator(seen, "rain", duration=1.0, seed=made.metadata["seed"]).waveform, made.waveform)

    def test_a_bare_tensor(self):
        assert UniversalAudioGenerator("foley")(torch.randn(2, 24, 768), "rain", duration=1.0).shape == (2, 2, 16000)


class TestAligner:
    @pytest.mark.parametrize("method", ["learned", "dtw", "cross_correlation"])
    def test_shifted_sound_comes_back(self, method, clip):
        pytest.importorskip(f"versasound_plugin_{method}")
        seen = encoder_of("motion")(clip)
        sound = UniversalAudioGenerator("foley")(seen, "a hammer on metal", duration=2.0, seed=1, sample_rate=48000)
        late = AudioData(sound.waveform.roll(9600, -1), sound.sample_rate)
        module = TemporalAlignmentModule(4, 4, 8, 1)
        moved = module(audio=late, visual_features=seen, sync_method=method, sync_strength=1.0)
        assert moved.shape == late.shape
        assert len(moved.metadata["sync_confidence"]) == 1
        assert torch.equal(module(late, seen, method, 0.0).waveform, late.waveform)

    def test_features_without_events_leave_the_sound(self):
        sound = AudioData(torch.rand(1, 1, 16000))
        with pytest.warns(NothingToFollowWarning, match="no events"):
            assert TemporalAlignmentModule()(sound, torch.randn(1, 24, 768), "cross_correlation") is sound

    def test_the_sizes_are_those_of_a_network_to_train(self):
        before = torch.get_rng_state()
        module = TemporalAlignmentModule(visual_dim=6, audio_dim=5, hidden_dim=16, num_layers=1)
        assert torch.equal(torch.get_rng_state(), before)
        module.train()
        loss = module.feature_aligner.loss(torch.randn(2, 60, 6), torch.randn(2, 60, 5))
        loss.backward()
        assert all(weight.grad is not None for weight in module.parameters())
        other = TemporalAlignmentModule(visual_dim=6, audio_dim=5, hidden_dim=16, num_layers=1)
        other.load_state_dict(module.state_dict())

    @pytest.mark.parametrize("size", [0, -1, 1.5])
    def test_sizes(self, size):
        with pytest.raises(InvalidInputError, match="num_layers"):
            TemporalAlignmentModule(num_layers=size)


@pytest.mark.parametrize("module", [UniversalAudioGenerator("foley"), TemporalAlignmentModule(4, 4, 8, 1)])
def test_modules_move_switch_and_save(module):
    assert module.to("cpu").eval().training is False
    module.load_state_dict(module.state_dict())
