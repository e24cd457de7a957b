"""Reference values computed by MONAI and PyTorch, of what recorded golden values leave out.

usage: python3 make_references.py SEED OUT_DIR        (packages: requirements.txt beside this file)

Every folder below OUT_DIR that holds an index.json is a set of references; test/parity/ reads them. Arrays are .npy,
(x, y, z), (channel, x, y, z) or (batch, channel, x, y, z) in C order. Scans and masks are of our own making.
"""

import os
import sys

import numpy as np
import torch

from folder import Folder
from networks import network, training
from parts import adam_updates, losses, metrics, reading, resamplings, voxel_transforms
from scans import axis_aligned, free_affine, scan


def main():
    seed, root = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    if "recorded" in sys.argv[3:]:  # the small set that is checked in: arrays inside the index
        folder = Folder(root, seed)
        adam_updates(folder, np.random.default_rng(seed), inline=True)
        folder.close()
        return
    rng = np.random.default_rng(seed)
    parts = Folder(os.path.join(root, "parts"), seed)
    for make in (reading, resamplings, voxel_transforms, losses, adam_updates, metrics):
        make(parts, rng)
    parts.close()

    published = {"squared_pred": True}
    training(root, seed, "network-published", shape=(24, 32, 16), loss=published, dresses=True)
    training(root, seed + 1, "network-16-filters", shape=(16, 16, 24), loss=published, filters=16, down=(1, 1, 2), up=(1, 2))
    training(root, seed + 2, "network-3-classes", shape=(12, 20, 8), batch=3, classes=3, down=(2, 1), up=(2,), groups=4,
             loss={"batch": True, "include_background": False, "lambda_ce": 0.5})

    spacings = lambda: rng.uniform([0.7, 0.7, 1.1], [1.1, 1.1, 3.0])
    small = lambda k: network(seed + k, down=(1, 1), up=(1,))
    shape = tuple(int(n) for n in rng.integers([60, 52, 70], [80, 70, 90]))
    scan(root, seed, "scan-oblique", shape=shape, affine=free_affine(rng, spacings()), spacing=(1.1, 0.9, 4.0),
         pad=(80, 64, 24), net=network(seed + 3), divisor=8, chain=((40, 32, 16), 3, 2, 1),
         windows={"constant": {"roi": (40, 32, 16), "overlap": 0.6, "mode": "constant"},
                  "gaussian": {"roi": (32, 40, 8), "overlap": 0.5, "mode": "gaussian"},
                  "gaussian-sigma-0.25": {"roi": (32, 32, 16), "overlap": 0.25, "mode": "gaussian", "sigma": 0.25},
                  "per-axis-overlap": {"roi": (40, 32, 8), "overlap": (0.1, 0.5, 0.7), "mode": "constant"}})
    shape = tuple(int(n) for n in rng.integers([44, 36, 10], [60, 50, 14]))
    scan(root, seed + 1, "scan-thin", shape=shape, affine=axis_aligned(rng, spacings() * [1, 1, 2]), spacing=(0.8, 0.8, 5.0),
         pad=(64, 48, 16), net=network(seed + 4), divisor=8, chain=((32, 40, 16), 2, 1, 1),
         windows={"constant": {"roi": (32, 24, 16), "overlap": 0.6, "mode": "constant"},
                  "gaussian": {"roi": (32, 32, 24), "overlap": (0.5, 0.3, 0.6), "mode": "gaussian"}})
    shape = tuple(int(n) for n in rng.integers([22, 26, 9], [30, 34, 13]))
    scan(root, seed + 2, "scan-small-sheared", shape=shape, affine=free_affine(rng, [2.1, 1.9, 4.5], shear=0.15),
         spacing=(2.0, 2.3, 3.0), pad=(40, 40, 24), net=network(seed + 5, classes=3, down=(1, 1), up=(1,)), divisor=2,
         windows={"larger-than-the-image": {"roi": (40, 44, 30), "overlap": 0.6, "mode": "constant"},
                  "larger-gaussian": {"roi": (48, 40, 26), "overlap": 0.6, "mode": "gaussian"},
                  "larger-in-z": {"roi": (12, 16, 32), "overlap": (0.25, 0.5, 0.5), "mode": "constant"}})


main()
