"""Each step alone: headers, grids, voxel transforms, losses, the optimiser, metrics."""

import gzip
import struct

import nibabel as nib
import numpy as np
import scipy.ndimage as nd
import torch
from monai.data import MetaTensor
from monai.losses import DiceCELoss
from monai.metrics import (DiceMetric, compute_average_surface_distance, compute_dice, compute_hausdorff_distance,
                           compute_surface_dice)
from monai.transforms import (CropForeground, Flip, LoadImage, Rotate90, ScaleIntensityRange, Spacing, SpatialPad)

from scans import axis_aligned, free_affine


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
