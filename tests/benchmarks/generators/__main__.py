"""The generators on trained models beside the libraries' own, at full size on one GPU: equality, speed, memory.

    python tests/benchmarks/generators                    # about five minutes on an H100 or H200
    python tests/benchmarks/generators --only audioldm2
    python tests/benchmarks/generators --quick            # tiny models on the CPU, to see that it runs

The weights are random, of the published sizes: neither equality nor speed depends on them. Needed besides PyTorch and
transformers: diffusers, accelerate, torchsde, and what the core needs to be imported: attrs, av, PyYAML.
"""

from __future__ import annotations

import argparse
import functools
import time

import audiocraft
import audioldm2
import stable_audio
import torch
from common import Place

PARTS = {"stable_audio": stable_audio.main, "audioldm2": audioldm2.main, "audiocraft": audiocraft.main}


def main() -> None:
    """Print all figures of one run."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=PARTS, help="one of the generators")
    arguments.add_argument("--quick", action="store_true", help="tiny models on the CPU")
    args = arguments.parse_args()
    if args.quick:
        torch.compile = functools.partial(torch.compile, backend="eager")
        places = [Place(torch.device("cpu"), precision, quick=True) for precision in ("fp32", "bf16")]
        print(f"CPU, tiny models, PyTorch {torch.__version__}")
    else:
        places = [Place(torch.device("cuda"), precision, quick=False) for precision in ("fp32", "fp16")]
        print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    for name, part in PARTS.items():
        if args.only in {None, name}:
            begun = time.perf_counter()
            part(places)
            print(f"{name}: {time.perf_counter() - begun:.0f} s in all\n", flush=True)


if __name__ == "__main__":
    main()
