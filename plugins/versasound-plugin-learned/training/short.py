"""How many short parts are brought to their pictures: `python training/short.py`.

Parts of 4 s of pictures made as those that the network was trained on, from seeds that it was not; their sounds are
shifted by up to a second, and none is left alone.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from pairs import filmed, made
from versasound_plugin_learned.path import search
from versasound_plugin_learned.smooth import offsets

_REACH_S = 1.0
_NEAR_S = 0.08

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20, help="of scenes, sixteen each")
    torch.set_num_threads(1)
    errors = []
    for one in made(filmed(parser.parse_args().batches), "window"):
        struck, heard = one.pair.struck, one.pair.heard
        move_s = 0.0
        if len(struck.times_s) and len(heard.times_s):
            way = search(one.pair, _REACH_S, adaptive=True)
            move_s = float(np.median(offsets(way, struck, heard, adaptive=True)))
        errors.append(abs(move_s - float(np.median(one.belong_s - one.heard_s))))
    right = np.mean(np.array(errors) < _NEAR_S)
    print(f"{len(errors)} parts: {right:.1%} within 80 ms, median error {1000 * np.median(errors):.1f} ms")
