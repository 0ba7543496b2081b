"""Sound that waits in a temporary file."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import AudioData
from versasound_core.media.spool import Spool

# A spool in a process that may not write files larger than 100 kB.
_NO_ROOM = """
import resource, torch
from versasound_core.containers import AudioData
from versasound_core.errors import MediaError
from versasound_core.media.spool import Spool
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with Spool() as spool:
    try:
        for _ in range(100):
            spool.write(AudioData(torch.zeros(1, 2, 150), 100))
    except MediaError as error:
        print(spool.num_samples, error)
"""


def sound(samples: int, batch: int = 2, channels: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(samples))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(0.01, 9.0), st.integers(1, 3), st.integers(1, 2))
def test_what_was_written_is_read_in_equal_blocks(lengths, block_s, batch, channels) -> None:
    whole = sound(sum(lengths), batch, channels)
    with Spool(block_s) as spool:
        for part in whole.split(lengths, dim=-1):
            spool.write(AudioData(part, 10))
        assert spool.num_samples == whole.shape[-1]
        for _ in range(2):
            blocks = list(spool)
            assert all(block.shape[2] == max(1, round(block_s * 10)) for block in blocks[:-1])
            assert torch.equal(torch.cat([b.waveform for b in blocks] or [whole[..., :0]], -1), whole)


def test_two_readers_do_not_disturb_each_other_nor_a_writer() -> None:
    whole = sound(400)
    with Spool() as spool:
        spool.write(AudioData(whole[..., :300], 100))
        pairs = []
        for one, other in zip(spool, spool, strict=True):
            pairs.append((one, other))
            if len(pairs) == 1:
                spool.write(AudioData(whole[..., 300:], 100))
        assert len(pairs) == 3  # what there was when reading began
        assert all(torch.equal(one.waveform, other.waveform) for one, other in pairs)
        assert torch.equal(torch.cat([block.waveform for block in spool], -1), whole)


def test_blocks_have_the_rate_and_the_last_metadata() -> None:
    with Spool() as spool:
        assert list(spool) == []
        spool.write(AudioData(sound(150), 100, {"sources": ["rain"]}))
        spool.write(AudioData(sound(150).double(), 100, {"sources": ["wind"]}))
        for block in spool:
            assert (block.sample_rate, block.metadata) == (100, {"sources": ["wind"]})
            assert block.waveform.dtype == torch.float32


def test_a_block_that_is_changed_does_not_change_the_file() -> None:
    with Spool() as spool:
        spool.write(AudioData(sound(150), 100))
        for block in spool:
            block.waveform.zero_()
        assert torch.equal(torch.cat([block.waveform for block in spool], -1), sound(150))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of a process's files")
def test_a_full_disk_is_a_media_error_at_the_write_that_meets_it() -> None:
    done = subprocess.run([sys.executable, "-c", _NO_ROOM], capture_output=True, text=True, check=True)
    written, _, said = done.stdout.partition(" ")
    # Blocks of 1200 bytes, not one of which may be taken for written when it is not.
    assert int(written) // 150 == 100_000 // 1200
    assert "no room for temporary sound in" in said
    assert "TMPDIR" in said
