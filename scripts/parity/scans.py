"""Scans of our own making, and their way through transforms, windows and back, in the layout of the recorded values."""

import os

import nibabel as nib
import numpy as np
import scipy.ndimage as nd
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import (Compose, CropForegroundd, EnsureChannelFirstd, Invertd, LoadImaged, RandCropByPosNegLabeld,
                              RandFlipd, RandRotate90d, RandShiftIntensityd, ScaleIntensityRanged, Spacingd, SpatialPadd)

from folder import Folder


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
