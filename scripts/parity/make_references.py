"""Reference values computed by MONAI and PyTorch, of what recorded golden values leave out.

usage: python3 make_references.py SEED OUT_DIR        (packages: requirements.txt beside this file)

Every folder below OUT_DIR that holds an index.json is a set of references; test/parity/ reads them. Arrays are .npy,
(x, y, z), (channel, x, y, z) or (batch, channel, x, y, z) in C order. Scans and masks are of our own making.
"""

import gzip
import json
import os
import struct
import sys

import nibabel as nib
import numpy as np
import scipy.ndimage as nd
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import (DiceMetric, compute_average_surface_distance, compute_dice, compute_hausdorff_distance,
                           compute_surface_dice)
from monai.networks.nets import SegResNet
from monai.transforms import (Compose, CropForeground, CropForegroundd, EnsureChannelFirstd, Flip, Invertd, LoadImage,
                              LoadImaged, RandCropByPosNegLabeld, RandFlipd, RandRotate90d, RandShiftIntensityd,
                              Rotate90, ScaleIntensityRange, ScaleIntensityRanged, Spacing, Spacingd, SpatialPad,
                              SpatialPadd)


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


# Geometry


def free_affine(rng, spacing, shear=0.0):
    """Turned by up to 20 degrees about each axis, mirrored at random, anywhere in the world; sheared if asked."""
    a, b, c = np.deg2rad(rng.uniform(-20, 20, 3))
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    upper = np.eye(3) + shear * np.triu(rng.uniform(-1, 1, (3, 3)), 1)
    affine = np.eye(4)
    affine[:3, :3] = x @ y @ z @ np.diag(rng.choice([-1, 1], 3)) @ upper @ np.diag(spacing)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def axis_aligned(rng, spacing):
    affine = np.diag([*(np.asarray(spacing) * rng.choice([-1, 1], 3)), 1.0])
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def chest(rng, shape):
    """A body with two lungs and a few lesions, air planes around it: HU and class indices."""
    g = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    body = (g[0] / 0.85) ** 2 + (g[1] / 0.75) ** 2 < 1
    lung = (((abs(g[0]) - 0.4) / 0.3) ** 2 + (g[1] / 0.55) ** 2 + (g[2] / 0.85) ** 2 < 1) & body
    hu = np.where(body & (abs(g[2]) < 0.9), 40.0, -1024.0)
    hu[lung] = -830
    field = nd.gaussian_filter(rng.normal(size=shape), 3)
    lesion = (field > np.quantile(field[lung], 0.9)) & lung
    hu[lesion] = rng.uniform(-500, 0)
    hu = nd.gaussian_filter(hu, 0.6)
    hu = np.where(hu > -1010, hu + rng.normal(0, 25, shape), -1024)
    return np.rint(hu).astype("i2"), lesion.astype("u1")


def write_nifti(path, voxels, affine):
    image = nib.Nifti1Image(voxels, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


# One after the other: what a scan goes through, in the layout of the recorded golden values


def network(seed, filters=8, classes=2, down=(1, 2, 2, 4), up=(1, 1, 1), groups=8):
    torch.manual_seed(seed)
    net = SegResNet(spatial_dims=3, init_filters=filters, in_channels=1, out_channels=classes, blocks_down=down,
                    blocks_up=up, norm=("GROUP", {"num_groups": groups}))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".norm" in name or name.startswith("conv_final.0"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def spread(net, volume):
    """Scales the last filter, so that logits differ by a few units and the mask is neither empty nor full."""
    with torch.no_grad():
        logits = net(volume)[0]
        margin = logits[1:].amax(0) - logits[0]
        final = net.conv_final[2].conv
        factor = 2 / float(margin.std())
        final.weight.mul_(factor)
        final.bias.mul_(factor)
        final.bias[0] += factor * float(margin.median())


def scan(root, seed, name, *, shape, affine, spacing, pad, windows, net, divisor, chain=None):
    folder = Folder(os.path.join(root, name), seed)
    rng = np.random.default_rng(seed)
    hu, lesion = chest(rng, shape)
    image, label = "ct.nii.gz", "lesion.nii.gz"
    write_nifti(folder.file(image), hu, affine)
    write_nifti(folder.file(label), lesion, affine)
    index, keys = folder.index, ["image", "label"]
    index["source"] = {"image": image, "label": label}

    d = EnsureChannelFirstd(keys)(LoadImaged(keys)({"image": folder.file(image), "label": folder.file(label)}))
    index["native"] = {"shape": list(d["image"].shape[1:]), "affine": np.asarray(d["image"].affine).tolist()}
    r = Spacingd(keys, pixdim=spacing, mode=("bilinear", "nearest"))(d)
    index["resample"] = {"spacing": list(spacing), "affine": np.asarray(r["image"].affine).tolist(),
                         "image": folder.save("resampled-image", r["image"]),
                         "label": folder.save("resampled-label", r["label"].to(torch.uint8))}
    s = ScaleIntensityRanged(["image"], -1000, 500, 0.0, 1.0, clip=True)(r)
    c = CropForegroundd(keys, source_key="image", allow_smaller=True)(s)
    index["crop_foreground"] = {"start": np.asarray(c["foreground_start_coord"]).tolist(),
                                "end": np.asarray(c["foreground_end_coord"]).tolist(), "shape": list(c["image"].shape)}
    p = SpatialPadd(keys, spatial_size=pad, mode=("minimum", "constant"))(c)
    index["prefix"] = {"image": folder.save("prefix-image", p["image"]),
                       "label": folder.save("prefix-label", p["label"].to(torch.uint8)),
                       "affine": np.asarray(p["image"].affine).tolist()}

    pre = Compose([LoadImaged(["image"]), EnsureChannelFirstd(["image"]), Spacingd(["image"], pixdim=spacing),
                   ScaleIntensityRanged(["image"], -1000, 500, 0.0, 1.0, clip=True),
                   CropForegroundd(["image"], source_key="image", allow_smaller=True)])
    q = pre({"image": folder.file(image)})
    volume = q["image"].unsqueeze(0)
    net.eval()
    room = [(-n) % divisor for n in volume.shape[2:]]
    spread(net, torch.nn.functional.pad(volume.as_tensor(), [0, room[2], 0, room[1], 0, room[0]]))
    torch.save({"model": net.state_dict()}, folder.file("sw-model.pt"))
    index["sliding_window"] = {"checkpoint": "sw-model.pt"}
    for key, entry in windows.items():
        options = {name: value for name, value in entry.items() if name != "roi"}
        sigma = options.pop("sigma", 0.125)
        with torch.no_grad():
            logits = sliding_window_inference(volume, entry["roi"], 2, net, sigma_scale=sigma, **options)[0].as_tensor()
        probability = torch.softmax(logits, 0)
        q2 = dict(q)
        q2["pred"] = MetaTensor(probability, meta=q["image"].meta, applied_operations=q["image"].applied_operations)
        back = Invertd("pred", transform=pre, orig_keys="image", nearest_interp=False)(q2)["pred"]
        mask = back.argmax(0)
        index["sliding_window"][key] = {
            **entry, "logits": folder.save(f"sw-{key}-logits", logits),
            "probabilities": folder.save(f"sw-{key}-probabilities", probability),
            "native_mask": folder.save(f"sw-{key}-native-mask", mask.to(torch.uint8)),
            "native_lesion_voxels": int((mask > 0).sum()),
            "native_probability_lesion_stride4": folder.save(f"sw-{key}-native-prob-stride4", back[1][::4, ::4, ::4])}

    if chain:
        size, samples, pos, neg = chain
        random = Compose([
            RandCropByPosNegLabeld(keys, label_key="label", spatial_size=size, pos=pos, neg=neg, num_samples=samples,
                                   image_key="image", image_threshold=0),
            *[RandFlipd(keys, prob=0.5, spatial_axis=[axis]) for axis in range(3)],
            RandRotate90d(keys, prob=0.5, max_k=3), RandShiftIntensityd(["image"], offsets=0.1, prob=0.5)])
        random.set_random_state(seed=seed % 2 ** 31)
        results = []
        for run in range(3):
            for sample, o in enumerate(random({"image": p["image"].clone(), "label": p["label"].clone()})):
                results.append({
                    "run": run, "sample": sample, "shape": list(o["image"].shape),
                    "image_sum": float(o["image"].double().sum()), "label_sum": float(o["label"].double().sum()),
                    "crop_center": [int(v) for v in o["image"].meta["crop_center"]],
                    "corner": float(o["image"].flatten()[0]),
                    "first_row": [float(v) for v in o["image"][0, :8, 5, 5]]})
        index["random_chain"] = {
            "input": "prefix-image.npy, prefix-label.npy", "seed": seed % 2 ** 31, "results": results,
            "compose": f"RandCropByPosNegLabel {'x'.join(map(str, size))} pos {pos} neg {neg} samples {samples}, "
                       "RandFlip axis 0, 1, 2 p 0.5, RandRotate90 p 0.5 max_k 3, RandShiftIntensity 0.1 p 0.5"}
    folder.close()


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


# Each alone: the transforms, the loss, the optimiser, the metrics


def reading(folder, rng):
    """Files whose headers leave a choice."""
    cases = []

    def add(name, image, scaling=None):
        path = f"reading-{name}.nii.gz"
        nib.save(image, folder.file(path))
        if scaling:  # written over the header: nibabel would scale the voxels to suit
            with gzip.open(folder.file(path)) as file:
                content = bytearray(file.read())
            struct.pack_into("<ff", content, 112, *scaling)
            with gzip.open(folder.file(path), "wb") as file:
                file.write(content)
        read = LoadImage(image_only=True)(folder.file(path))
        cases.append({"name": name, "file": path, "affine": np.asarray(read.affine).tolist(),
                      "voxels": folder.save(f"reading-{name}", read.as_tensor())})

    shape = (7, 6, 5)
    integers = rng.integers(-1024, 2000, shape).astype("i2")
    spacing = rng.uniform(0.6, 4, 3)
    both = nib.Nifti1Image(integers, None)
    both.set_qform(free_affine(rng, spacing), 1)
    both.set_sform(free_affine(rng, spacing), 2)
    add("sform-over-qform", both)
    only = nib.Nifti1Image(rng.integers(0, 255, shape).astype("u1"), None)
    only.set_qform(free_affine(rng, spacing), 1)
    only.set_sform(None, 0)
    add("qform-alone", only)
    wrong = nib.Nifti1Image(integers, None)
    wrong.set_qform(free_affine(rng, spacing), 1)
    wrong.set_sform(free_affine(rng, spacing * 1.5), 1)
    add("sform-of-other-spacing", wrong)
    for name, (slope, inter), dtype in (("scaled", (0.7321, -1013.25), "i2"), ("scaled-int32", (1.37e-3, 0.25), "i4"),
                                        ("unscaled", (0.0, 5.0), "i2")):
        add(name, nib.Nifti1Image(rng.integers(-30000, 30000, shape).astype(dtype), free_affine(rng, spacing)), (slope, inter))
    add("big-endian-float64", nib.Nifti1Image(rng.normal(0, 500, shape), free_affine(rng, spacing),
                                              nib.Nifti1Header(endianness=">")))
    folder.index["reading"] = cases


def resamplings(folder, rng):
    cases = []
    kinds = [("down", 0), ("up", 0), ("kept", 0), ("aligned", 0), ("halves", 0), ("sheared", 0.3), ("sheared-up", 0.2)]
    for i in range(21):
        kind, shear = kinds[i % len(kinds)]
        shape = tuple(int(n) for n in rng.integers(5, 19, 3))
        spacing = rng.uniform(0.6, 3, 3)
        target = spacing * (rng.uniform(0.3, 0.9, 3) if "up" in kind else rng.uniform(0.7, 3, 3))
        affine = free_affine(rng, spacing, shear)
        if kind == "aligned":
            affine = axis_aligned(rng, spacing)
        elif kind == "kept":  # one axis within the tolerance, one not to be touched
            target[0], target[1] = spacing[0] + 9e-4, 0
        elif kind == "halves":  # extents and samples halfway between voxels
            spacing, target = np.array([1.0, 2.0, 2.5]), np.array([2.0, 5.0, 5.0])
            affine = axis_aligned(rng, spacing)
        voxels = rng.uniform(-1000, 1000, (1, *shape)).astype("f4")
        labels = rng.integers(0, 4, (1, *shape)).astype("f4")
        sampled = Spacing(pixdim=target, mode="bilinear")(MetaTensor(torch.from_numpy(voxels), affine=torch.from_numpy(affine)))
        classes = Spacing(pixdim=target, mode="nearest")(MetaTensor(torch.from_numpy(labels), affine=torch.from_numpy(affine)))
        cases.append({"kind": kind, "native_affine": affine.tolist(), "spacing": target.tolist(),
                      "affine": np.asarray(sampled.affine).tolist(),
                      "image": folder.save(f"resampling-{i}-image", voxels),
                      "label": folder.save(f"resampling-{i}-label", labels.astype("u1")),
                      "resampled_image": folder.save(f"resampling-{i}-resampled-image", sampled.as_tensor()),
                      "resampled_label": folder.save(f"resampling-{i}-resampled-label", classes.to(torch.uint8).as_tensor())})
    folder.index["resamplings"] = cases


def voxel_transforms(folder, rng):
    shape = (9, 7, 6)
    volume = torch.from_numpy(rng.normal(-300, 600, (1, *shape)).astype("f4"))
    source = folder.save("volume", volume)
    folder.index["clips"] = [
        {"input": source, "min": low, "max": high, "to": to, "values": folder.save(
            f"clip-{i}", ScaleIntensityRange(low, high, *to, clip=True)(volume))}
        for i, (low, high, to) in enumerate([(-1000, 500, (0.0, 1.0)), (-200.5, 333.3, (-1.0, 1.0)), (-57, 164, (0.1, 0.7))])]
    sparse = (volume - volume.quantile(0.97)).clamp(min=0)
    sparse_file = folder.save("sparse", sparse)
    folder.index["foregrounds"] = []
    for threshold, margin in ((0, 0), (0, 2), (100, 1)):
        start, end = CropForeground(select_fn=lambda v, t=threshold: v > t, margin=margin,
                                    allow_smaller=True).compute_bounding_box(sparse)
        folder.index["foregrounds"].append({"input": sparse_file, "threshold": threshold, "margin": margin,
                                            "start": np.asarray(start).tolist(), "end": np.asarray(end).tolist()})
    folder.index["pads"] = [
        {"input": source, "size": size, "mode": mode, "method": method, "values": folder.save(
            f"pad-{mode}-{method}-{i}", SpatialPad(size, method=method, mode=mode)(volume))}
        for mode in ("minimum", "constant", "edge") for method in ("symmetric", "end")
        for i, size in enumerate([(12, 12, 12), (9, 14, 3), (4, 7, 11)])]
    folder.index["flips"] = [{"input": source, "axis": axis, "values": folder.save(f"flip-{axis}", Flip(axis)(volume))}
                             for axis in range(3)]
    folder.index["turns"] = [{"input": source, "turns": k, "values": folder.save(f"turn-{k}", Rotate90(k)(volume))}
                             for k in range(1, 4)]


def losses(folder, rng):
    cases = []
    for i, (classes, options) in enumerate([
            (2, {}), (2, {"squared_pred": True}), (2, {"jaccard": True}), (3, {"jaccard": True, "squared_pred": True}),
            (3, {"batch": True}), (2, {"batch": True, "squared_pred": True, "jaccard": True}),
            (2, {"include_background": False, "squared_pred": True}), (4, {"include_background": False, "batch": True}),
            (2, {"lambda_dice": 0.3, "lambda_ce": 1.7, "squared_pred": True}), (3, {"lambda_ce": 0.0}),
            (2, {"lambda_dice": 0.0}), (2, {"smooth_nr": 0.0, "smooth_dr": 1e-3})]):
        logits = torch.from_numpy(rng.normal(0, 2, (3, classes, 9, 8, 7)).astype("f4")).requires_grad_()
        label = torch.from_numpy(rng.integers(0, classes, (3, 1, 9, 8, 7)).astype("f4"))
        label[1] = 0
        loss = DiceCELoss(to_onehot_y=True, softmax=True, **options)(logits, label)
        loss.backward()
        names = {"squared_pred": "squaredPred", "include_background": "includeBackground", "lambda_dice": "lambdaDice",
                 "lambda_ce": "lambdaCe", "smooth_nr": "smoothNr", "smooth_dr": "smoothDr"}
        cases.append({"options": {names.get(key, key): value for key, value in options.items()},
                      "logits": folder.save(f"loss-{i}-logits", logits), "loss": float(loss),
                      "label": folder.save(f"loss-{i}-label", label.to(torch.uint8)),
                      "gradient": folder.save(f"loss-{i}-gradient", logits.grad)})
    folder.index["losses"] = cases


def adam_updates(folder, rng, inline=False):
    """One update each, from a given gradient and state."""
    cases = []
    for i, (step, lr, betas, eps, decay) in enumerate([
            (1, 1e-3, (0.9, 0.999), 1e-8, 0.0), (2, 1e-3, (0.9, 0.999), 1e-8, 0.0), (1000, 2e-4, (0.9, 0.999), 1e-8, 0.0),
            (7, 1e-2, (0.8, 0.95), 1e-6, 0.0), (3, 1e-3, (0.9, 0.999), 1e-8, 0.05)]):
        n = 40 if inline else 1000
        scale = 10.0 ** rng.uniform(-6, 0, n)
        parameter = torch.nn.Parameter(torch.from_numpy(rng.normal(0, 0.3, n).astype("f4")))
        before = parameter.detach().clone()
        gradient = torch.from_numpy((rng.normal(0, 1, n) * scale).astype("f4"))
        mean = torch.from_numpy((rng.normal(0, 1, n) * scale).astype("f4")) if step > 1 else torch.zeros(n)
        square = torch.from_numpy((rng.uniform(0.1, 1, n) * scale ** 2).astype("f4")) if step > 1 else torch.zeros(n)
        optimizer = torch.optim.Adam([parameter], lr=lr, betas=betas, eps=eps, weight_decay=decay)
        optimizer.state[parameter] = {"step": torch.tensor(float(step - 1)), "exp_avg": mean.clone(),
                                      "exp_avg_sq": square.clone()}
        parameter.grad = gradient
        optimizer.step()
        state = optimizer.state[parameter]
        assert float(state["step"]) == step
        arrays = {"parameter": before, "gradient": gradient, "exp_avg": mean, "exp_avg_sq": square,
                  "parameter_after": parameter, "exp_avg_after": state["exp_avg"], "exp_avg_sq_after": state["exp_avg_sq"]}
        cases.append({
            "step": step,
            "options": {"learningRate": lr, "beta1": betas[0], "beta2": betas[1], "epsilon": eps, "weightDecay": decay},
            **{key: values.tolist() if inline else folder.save(f"adam-{i}-{key}", values) for key, values in arrays.items()}})
    folder.index["adam_updates"] = cases


def metrics(folder, rng):
    """Masks of two classes at an odd spacing, each metric of each pair; then reductions over a set of three classes."""
    spacing = [float(v) for v in rng.uniform(0.4, 3, 3)]

    def blob(share, shape=(30, 27, 13)):
        field = nd.gaussian_filter(rng.normal(size=shape), (2.5, 2.5, 1))
        return (field > np.quantile(field, 1 - share)).astype(np.uint8)

    def number(t):
        v = float(t.flatten()[0])
        return None if v != v else ("inf" if v == float("inf") else v)

    base, empty = blob(0.08), np.zeros((30, 27, 13), np.uint8)
    lone = empty.copy()
    lone[4, 5, 6] = 1
    full = np.ones_like(empty)
    pairs = [(base, np.roll(base, 1, 1)), (blob(0.1), blob(0.03)), (base, base), (lone, base), (full, base), (lone, lone),
             (nd.binary_dilation(base).astype(np.uint8), base), (empty, base), (base, empty), (empty, empty)]
    tolerances = [0.5, 1.0, 2.5]
    cases = []
    for i, (pred, truth) in enumerate(pairs):
        hot = lambda m: torch.from_numpy(np.stack([1 - m, m])[None].astype("f4"))
        p, g = hot(pred), hot(truth)
        case = {"pred": folder.save(f"metric-{i}-pred", pred), "truth": folder.save(f"metric-{i}-truth", truth),
                "dice": number(compute_dice(p, g, include_background=False))}
        if pred.any() or truth.any():
            case.update(hd=number(compute_hausdorff_distance(p, g, spacing=spacing)),
                        hd95=number(compute_hausdorff_distance(p, g, percentile=95, spacing=spacing)),
                        assd=number(compute_average_surface_distance(p, g, symmetric=True, spacing=spacing)),
                        nsd={str(mm): number(compute_surface_dice(p, g, [mm], spacing=spacing)) for mm in tolerances})
        cases.append(case)
    folder.index["metrics"] = {"spacing": spacing, "cases": cases}

    classes, shape = 3, (12, 11, 9)
    label = lambda: rng.integers(0, classes, shape).astype(np.uint8)
    sets = [(label(), label()) for _ in range(4)]
    sets[1] = (sets[1][0], np.zeros(shape, np.uint8))  # a case without any lesion
    sets[2] = (sets[2][0], (sets[2][1] > 1).astype(np.uint8) * 2)  # one without class 1
    reduced = {}
    for reduction in ("none", "mean", "sum", "mean_batch", "sum_batch", "mean_channel", "sum_channel"):
        metric = DiceMetric(include_background=False, reduction=reduction)
        for pred, truth in sets:
            hot = lambda m: torch.from_numpy(np.stack([m == c for c in range(classes)])[None].astype("f4"))
            metric(hot(pred), hot(truth))
        values = metric.aggregate()
        reduced[reduction] = [[None if v != v else v for v in row] for row in values.tolist()] if values.dim() == 2 else [
            None if v != v else v for v in values.flatten().tolist()]
    folder.index["reductions"] = {
        "classes": classes, "values": reduced,
        "cases": [{"pred": folder.save(f"reduction-{i}-pred", pred), "truth": folder.save(f"reduction-{i}-truth", truth)}
                  for i, (pred, truth) in enumerate(sets)]}


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
