"""A set of references on disk: arrays, files and an index of them."""

import json
import os

import numpy as np
import torch


class Folder:
    """A set of references: arrays, files and, at the end, an index of them."""

    def __init__(self, path, seed):
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.index = {"monai": __import__("monai").__version__, "torch": torch.__version__, "seed": seed}

    def file(self, name):
        return os.path.join(self.path, name)

    def save(self, name, values):
        values = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        np.save(self.file(name + ".npy"), np.ascontiguousarray(values))
        return name + ".npy"

    def close(self):
        with open(self.file("index.json"), "w") as file:
            json.dump(self.index, file, indent=1)
