"""Average weights: `python mean.py first.safetensors second.safetensors --out strikes.safetensors`.

The mean of the weights before and after more training sees better than either (Izmailov et al., Averaging weights leads
to wider optima, 2018).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def mean(paths: list[Path], out: Path) -> None:
    """Write the mean of the weights of one network, in the precision and with the description of the first.

    Args:
        paths: Files that `train.py` wrote.
        out: Where to write.
    """
    with safe_open(paths[0], "pt") as first:
        about, names = first.metadata(), list(first.keys())
    tensors = {}
    for name in names:
        parts = []
        for path in paths:
            with safe_open(path, "pt") as file:
                parts.append(file.get_tensor(name))
        tensors[name] = torch.stack([part.float() for part in parts]).mean(0).to(parts[0].dtype)
    save_file(tensors, out, about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    mean(told.weights, told.out)
