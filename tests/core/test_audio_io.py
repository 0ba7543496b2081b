"""Sound files: what is read is what was written, in its place in time."""

from __future__ import annotations

import os
import resource
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.media.audio import load_audio, read_audio_blocks, save_audio

soundfile = pytest.importorskip("soundfile", reason="soundfile, the reference reader, is not installed")
LOSSY = {".ogg": 0.02, ".opus": 0.02, ".mp3": 0.03, ".m4a": 0.1}
clips = pytest.mark.skipif("VERSASOUND_CLIPS" not in os.environ, reason="VERSASOUND_CLIPS names no folder of clips")


def tones(rate: int = 48000, channels: int = 2, seconds: float = 1.3) -> AudioData:
    t = torch.arange(round(rate * seconds)) / rate
    waves = torch.stack([0.5 * torch.sin(2 * torch.pi * 440 * t), 0.3 * torch.sin(2 * torch.pi * 1000 * t)])
    return AudioData(waves[:channels][None].float(), rate)


def samples(audio: AudioData) -> np.ndarray:
    return audio.waveform[0].numpy()


def write(path: Path, chunks: list[tuple[float, np.ndarray]], *, picture_s: float | None, layout: str = "mono") -> Path:
    """Write a Matroska file with PCM sound at the given times, and a picture that starts at `picture_s`."""
    with av.open(str(path), "w") as file:
        if picture_s is not None:
            video = file.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        audio = file.add_stream("pcm_s16le", rate=16000, layout=layout)
        packets = []
        for number in range(25 if picture_s is not None else 0):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 10, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + round(picture_s * 25), Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None) if picture_s is not None else []
        for time_s, chunk in chunks:
            packed = (chunk.T.reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = 16000, round(time_s * 16000), Fraction(1, 16000)
            packets += audio.encode(frame)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            file.mux(packet)
    return path


def beep(seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    return np.full((channels, round(16000 * seconds)), 0.5, np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100, 96000])
def test_lossless_files_hold_24_bits(tmp_path: Path, suffix: str, channels: int, rate: int) -> None:
    audio, path = tones(rate, channels), tmp_path / f"a{suffix}"
    save_audio(audio, path)
    told = soundfile.info(path)
    assert (told.subtype, told.samplerate, told.channels) == ("PCM_24", rate, channels)
    by_soundfile = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    assert np.abs(by_soundfile - samples(audio)).max() <= 2**-24 * 1.01
    loaded = load_audio(path)
    assert loaded.sample_rate == rate
    assert np.array_equal(samples(loaded), by_soundfile)


@pytest.mark.parametrize("suffix", LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_keep_place_and_level(tmp_path: Path, suffix: str, channels: int) -> None:
    audio, path = tones(channels=channels), tmp_path / f"a{suffix}"
    save_audio(audio, path)
    loaded = load_audio(path)
    assert loaded.num_channels == channels
    assert abs(loaded.duration - audio.duration) < 0.025
    inside = slice(4800, -4800)
    length = audio.shape[-1]
    assert np.abs(samples(loaded)[:, :length] - samples(audio))[:, inside].max() < LOSSY[suffix]


@pytest.mark.parametrize(("suffix", "rate"), [(".ogg", 48000), (".mp3", 48000), (".m4a", 96000)])
def test_a_rate_that_the_codec_lacks_becomes_the_next(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"a{suffix}"
    save_audio(tones(), path, sample_rate=96000 if suffix != ".m4a" else 90000)
    assert load_audio(path).sample_rate == rate


@given(values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=400), suffix=st.sampled_from([".wav", ".flac"]))
@settings(max_examples=25, deadline=None)
def test_any_samples_survive(tmp_path_factory: pytest.TempPathFactory, values: list[float], suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    save_audio(AudioData(torch.tensor(values)[None, None], 48000), path)
    loaded = samples(load_audio(path))[0]
    assert loaded.shape == (len(values),)
    assert np.abs(loaded - np.array(values)).max() <= 2**-23


def test_what_passes_full_scale_is_clipped_and_told(tmp_path: Path) -> None:
    loud = AudioData(torch.tensor([[[0.0, 2.0, -2.0, 0.5]]]), 48000)
    with pytest.warns(UserWarning, match=r"full scale by 6\.0 dB"):
        save_audio(loud, tmp_path / "a.wav")
    assert samples(load_audio(tmp_path / "a.wav"))[0] == pytest.approx([0, 1, -1, 0.5], abs=2**-22)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_audio(AudioData(loud.waveform / 2, 48000), tmp_path / "b.wav")


def test_rate_mono_and_part(tmp_path: Path) -> None:
    audio = tones(44100)
    save_audio(audio, tmp_path / "a.flac")
    exact = load_audio(tmp_path / "a.flac")
    resampled = load_audio(tmp_path / "a.flac", sample_rate=16000, mono=True)
    assert torch.allclose(resampled.waveform, exact.resample(16000).to_mono().waveform, atol=1e-5)
    part = load_audio(tmp_path / "a.flac", start_s=0.25, end_s=0.75)
    assert torch.equal(part.waveform, exact.waveform[..., 11025:33075])
    assert load_audio(tmp_path / "a.flac", end_s=99).shape == exact.shape


@pytest.mark.parametrize("block_s", [0.01, 0.3, 1.3, 60])
def test_blocks_are_the_whole_and_come_again(tmp_path: Path, block_s: float) -> None:
    save_audio(tones(44100), tmp_path / "a.flac")
    blocks = read_audio_blocks(tmp_path / "a.flac", 48000, block_s)
    whole = load_audio(tmp_path / "a.flac", sample_rate=48000).waveform
    for _ in range(2):
        parts = [block.waveform for block in blocks]
        assert {part.shape[-1] for part in parts[:-1]} <= {round(block_s * 48000)}
        assert 0 < parts[-1].shape[-1] <= round(block_s * 48000)
        assert torch.equal(torch.cat(parts, dim=-1), whole)


def test_gaps_are_silent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [(0.0, beep()), (0.8, beep())], picture_s=None)
    wave = samples(load_audio(path))[0]
    assert len(wave) == round(1.3 * 16000)
    assert wave[:8000] == pytest.approx(0.5, abs=1e-3)
    assert not wave[8000:12800].any()
    assert wave[12800:] == pytest.approx(0.5, abs=1e-3)


def test_rounded_time_stamps_make_no_gaps(tmp_path: Path) -> None:
    ramp = np.linspace(-0.5, 0.5, 16000, dtype=np.float32)
    chunks = [(start / 16000, ramp[None, start : start + 333]) for start in range(0, 16000, 333)]
    wave = samples(load_audio(write(tmp_path / "a.mkv", chunks, picture_s=None)))[0]
    assert wave == pytest.approx(ramp, abs=1e-4)


@pytest.mark.parametrize(("picture_s", "sound_s"), [(0.0, 0.2), (0.4, 0.4), (0.2, 0.6), (0.4, 0.2)])
def test_time_zero_is_the_first_picture(tmp_path: Path, picture_s: float, sound_s: float) -> None:
    path = write(tmp_path / "a.mkv", [(sound_s, beep())], picture_s=picture_s)
    wave = samples(load_audio(path))[0]
    expected = np.zeros(round((sound_s + 0.5 - picture_s) * 16000))
    expected[round(max(0, sound_s - picture_s) * 16000) :] = 0.5
    assert wave == pytest.approx(expected, abs=1e-3)


def test_sound_before_a_part_of_a_late_track_is_silent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [(0.6, beep())], picture_s=0.0)
    wave = samples(load_audio(path, start_s=0.4, end_s=0.8))[0]
    assert wave == pytest.approx(np.repeat([0, 0.5], 3200), abs=1e-3)
    assert not samples(load_audio(path, end_s=0.4)).any()


def test_surround_becomes_stereo_by_the_standard_matrix_without_clipping(tmp_path: Path) -> None:
    share = 1 / (1 + 2 * 0.5**0.5)  # front, centre and surround of one side at full scale add up to 1
    half = 0.5**0.5
    expected = [(1, 0), (0, 1), (half, half), (0, 0), (half, 0), (0, half)]
    for channel, (left, right) in enumerate(expected):
        six = np.zeros((6, 8000), np.float32)
        six[channel] = 1
        path = write(tmp_path / f"{channel}.mkv", [(0.0, six)], picture_s=None, layout="5.1")
        wave = samples(load_audio(path))[:, 4000]
        assert wave == pytest.approx(np.array([left, right]) * share, abs=1e-3)
    full = write(tmp_path / "full.mkv", [(0.0, np.ones((6, 8000), np.float32))], picture_s=None, layout="5.1")
    assert samples(load_audio(full)).max() == pytest.approx(1, abs=1e-3)


def test_damage_inside_is_silent_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    noise = torch.randn(1, 1, 96000, generator=torch.Generator().manual_seed(0)) * 0.1
    save_audio(AudioData(noise, 48000), path)
    whole, raw = samples(load_audio(path)), bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 2000] = bytes(2000)
    path.write_bytes(raw)
    hurt = load_audio(path)
    assert "replaced by silence" in hurt.metadata["notes"][0]
    assert hurt.shape[-1] == whole.shape[-1]
    assert np.array_equal(samples(hurt)[:, :40000], whole[:, :40000])
    assert np.allclose(samples(hurt)[:, 60000:], whole[:, 60000:], atol=1e-5)


def test_values_that_are_no_numbers_are_silent_and_told(tmp_path: Path) -> None:
    wave = np.full(4800, 0.25, np.float32)
    wave[100], wave[200] = np.nan, np.inf
    soundfile.write(tmp_path / "a.wav", wave, 48000, subtype="FLOAT")
    loaded = load_audio(tmp_path / "a.wav")
    assert loaded.metadata["notes"]
    assert samples(loaded)[0] == pytest.approx(np.where(np.isfinite(wave), wave, 0))


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not sound at all\n" * 500, b"\0" * 5000])
def test_what_is_no_sound_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.wav"):
        load_audio(path)


def test_headers_without_sound(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac", ".m4a", ".ogg"):
        path = tmp_path / f"a{suffix}"
        save_audio(tones(), path)
        path.write_bytes(path.read_bytes()[:90])
        with pytest.raises(MediaError, match=f"a{suffix}"):
            load_audio(path)


def test_missing_folder_and_silent_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        load_audio(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="folder"):
        load_audio(tmp_path)
    with av.open(str(tmp_path / "silent.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        file.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"silent\.mp4 has no sound"):
        read_audio_blocks(tmp_path / "silent.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    save_audio(tones(), tmp_path / "a.wav")
    (tmp_path / "a.wav").chmod(0)
    with pytest.raises(MediaError, match="Permission"):
        load_audio(tmp_path / "a.wav")


def test_times_that_make_no_sense(tmp_path: Path) -> None:
    save_audio(tones(), tmp_path / "a.wav")
    for wrong in ({"start_s": -1.0}, {"start_s": 2.0, "end_s": 1.0}, {"start_s": float("nan")}, {"sample_rate": 0}):
        with pytest.raises(InvalidInputError):
            load_audio(tmp_path / "a.wav", **wrong)
    with pytest.raises(InvalidInputError, match="no sound at or after 5 s"):
        load_audio(tmp_path / "a.wav", start_s=5)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"\.wav, \.flac, \.ogg, \.opus, \.mp3, \.m4a"):
        save_audio(tones(), tmp_path / "a.xyz")
    with pytest.raises(InvalidInputError, match="batch of 2"):
        save_audio(AudioData(torch.zeros(2, 1, 10)), tmp_path / "a.wav")
    with pytest.raises(InvalidInputError, match="not 6"):
        save_audio(AudioData(torch.zeros(1, 6, 10)), tmp_path / "a.wav")
    with pytest.raises(InvalidInputError, match="without samples"):
        save_audio(AudioData(torch.zeros(1, 1, 0)), tmp_path / "a.wav")
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for target in (tmp_path / "file" / "a.wav", tmp_path / "none" / "a.wav"):
        with pytest.raises(MediaError, match="no folder"):
            save_audio(tones(), target)
    (tmp_path / "a.wav").symlink_to("/dev/full")
    with pytest.raises(InvalidInputError, match="not a file"):
        save_audio(tones(), tmp_path / "a.wav")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "a.wav"}
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
@pytest.mark.parametrize("room", [100, 3000])
def test_no_room(tmp_path: Path, suffix: str, room: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("kept")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(MediaError, match="cannot be written"):
            save_audio(tones(seconds=3), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "kept"


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_text("old")
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    save_audio(tones(), tmp_path / "link.wav")
    assert (tmp_path / "link.wav").is_symlink()
    assert load_audio(tmp_path / "real.wav").duration == pytest.approx(1.3)


@clips
def test_tracks_of_real_clips() -> None:
    found = sorted(Path(os.environ["VERSASOUND_CLIPS"]).glob("*.mp4"))
    assert found
    for path in found:
        with av.open(str(path)) as file:
            stream = file.streams.best("audio")
            length_s = float(stream.duration * stream.time_base)
        audio = load_audio(path)
        assert audio.num_channels <= 2
        assert abs(audio.duration - length_s) < 0.2, path.name
        assert not audio.metadata.get("notes")
