"""Write the weights: products of cosines over place, for each colour; no training, and the same bytes every time."""

import math
import sys

import torch
from safetensors.torch import save_file

grid = (torch.arange(8) + 0.5) * (math.pi / 8)
waves = torch.stack([torch.cos(k * grid) for k in range(4)])
patterns = torch.einsum("ky,lx->klyx", waves, waves).flatten(0, 1)  # [16, 8, 8]
basis = patterns[:, None].expand(-1, 3, -1, -1).flatten(1) / 192
save_file({"basis": basis.contiguous()}, sys.argv[1])
