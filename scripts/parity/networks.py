"""SegResNet as MONAI builds it, and what a few steps of Adam make of it."""

import os

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet

from folder import Folder


def network(seed, filters=8, classes=2, down=(1, 2, 2, 4), up=(1, 1, 1), groups=8):
    torch.manual_seed(seed)
    net = SegResNet(spatial_dims=3, init_filters=filters, in_channels=1, out_channels=classes, blocks_down=down,
                    blocks_up=up, norm=("GROUP", {"num_groups": groups}))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".norm" in name or name.startswith("conv_final.0"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


class Training:
    """A network, a batch and what a few steps of Adam make of it, in one precision."""

    def __init__(self, seed, precision, shape, batch, loss, steps, **options):
        classes, rng = options.get("classes", 2), np.random.default_rng(seed)
        self.net = network(seed, **options).to(precision)
        self.start = {key: value.clone() for key, value in self.net.state_dict().items()}
        self.x = torch.from_numpy(rng.random((batch, 1, *shape), dtype=np.float32)).to(precision).requires_grad_()
        self.y = torch.from_numpy(((rng.random((batch, 1, *shape)) > 0.85) * rng.integers(1, classes, (batch, 1, *shape)))
                                  .astype(np.float32)).to(precision)
        self.y[-1] = 0  # a patch without lesion
        self.net.train()
        loss_of = DiceCELoss(to_onehot_y=True, softmax=True, **loss)
        self.logits = self.net(self.x)
        self.loss = loss_of(self.logits, self.y)
        self.loss.backward()
        self.gradients = {key: p.grad.clone() for key, p in self.net.named_parameters()}
        optimizer, self.losses = torch.optim.Adam(self.net.parameters(), lr=1e-3), []
        for _ in range(steps):
            optimizer.zero_grad()
            value = loss_of(self.net(self.x.detach()), self.y)
            value.backward()
            optimizer.step()
            self.losses.append(float(value))

    def displacement(self):
        return torch.cat([(p.detach() - self.start[key]).double().flatten() for key, p in self.net.named_parameters()])


def trained(seed, *arguments, **options):
    """In float32, with the distance of that from float64.

    Where an activation lies within rounding of the ReLU's corner, or a gradient within rounding of Adam's epsilon, two
    correct programs part ways. Such a draw says nothing about a third one, so the next is taken.
    """
    for draw in range(50):
        found = Training(seed + 1000 * draw, torch.float32, *arguments, **options)
        exact = Training(seed + 1000 * draw, torch.float64, *arguments, **options)
        own = {"gradients": max(relative(found.gradients[key].double(), exact.gradients[key]) for key in exact.gradients),
               "losses": max(abs(a - b) for a, b in zip(found.losses, exact.losses)),
               "displacement": relative(found.displacement(), exact.displacement())}
        if own["gradients"] < 5e-5 and own["losses"] < 3e-5 and own["displacement"] < 1e-2:
            return found, {**own, "draw": draw}
    raise SystemExit("no draw gave float32 values near those of float64")


def training(root, seed, name, *, shape, batch=2, loss, steps=5, dresses=False, **options):
    """Checkpoint, forward, loss, gradients and steps of Adam."""
    folder = Folder(os.path.join(root, name), seed)
    index = folder.index
    found, own = trained(seed, shape, batch, loss, steps, **options)
    start = found.start
    torch.save({"model": start}, folder.file("mmar-model.pt"))
    names = {"squared_pred": "squaredPred", "jaccard": "jaccard", "batch": "batch",
             "include_background": "includeBackground", "lambda_dice": "lambdaDice", "lambda_ce": "lambdaCe"}
    index["network"] = {
        "checkpoint": "mmar-model.pt", "groups": options.get("groups", 8),
        "loss_options": {names[key]: value for key, value in loss.items()},
        "input": folder.save("net-input", found.x), "label": folder.save("net-label", found.y.to(torch.uint8)),
        "logits": folder.save("net-logits", found.logits), "loss": float(found.loss),
        "grad_input": folder.save("net-grad-input", found.x.grad),
        "grad_l2": {key: float(value.double().norm()) for key, value in found.gradients.items()},
        "grad": {key: folder.save("net-grad-" + key.replace(".", "_"), value) for key, value in found.gradients.items()
                 if value.numel() < 30000}}
    torch.save({"model": found.net.state_dict()}, folder.file("after-5-steps.pt"))
    index["adam"] = {"lr": 1e-3, "loss_before_each_step": found.losses, "checkpoint_after": "after-5-steps.pt",
                     "logits_after": folder.save("adam-logits-after", found.net(found.x.detach())),
                     "own_distance_from_float64": own}
    if dresses:
        torch.save(start, folder.file("state-dict-legacy.pt"), _use_new_zipfile_serialization=False)
        index["network"]["legacy"] = "state-dict-legacy.pt"
        small = {key: value for key, value in start.items() if value.numel() < 4000}
        torch.save({"state_dict": {"module." + key: value for key, value in small.items()}},
                   folder.file("variant-ddp-prefix.pt"))
        torch.save({key: value.half() for key, value in small.items()}, folder.file("variant-float16.pt"))
        torch.save({key: value.bfloat16() for key, value in small.items()}, folder.file("variant-bfloat16.pt"))
        torch.save({key: value.to(memory_format=torch.channels_last_3d) if value.dim() == 5 else value
                    for key, value in small.items()}, folder.file("variant-channels-last.pt"))
        flat_values, views, at = torch.cat([value.flatten() for value in small.values()]), {}, 0
        for key, value in small.items():
            views[key] = flat_values[at:at + value.numel()].view(value.shape)
            at += value.numel()
        torch.save(views, folder.file("variant-one-storage.pt"))
        index["checkpoint_variants"] = {"of": "mmar-model.pt", "tensors": list(small), "files": [
            "variant-ddp-prefix.pt", "variant-float16.pt", "variant-bfloat16.pt", "variant-channels-last.pt",
            "variant-one-storage.pt"]}
    folder.close()
