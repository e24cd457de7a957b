"""MONAI, PyTorch or ONNX Runtime as a contender: see bench/network/contender.ts for the protocol."""

import json
import os
import resource
import sys
import time

import numpy as np

# The protocol has standard output to itself; whatever libraries print goes to standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


class Torch:
    """SegResNet in MONAI. variant: `default` or `channels-last`."""

    def __init__(self, work):
        import torch
        from monai.losses import DiceCELoss
        from monai.networks.nets import SegResNet

        self.torch, self.work = torch, work
        torch.set_num_threads(work["threads"])
        network = SegResNet(spatial_dims=3, init_filters=work["initFilters"], in_channels=1, out_channels=2)
        network.load_state_dict(torch.load(work["weights"], weights_only=True))
        self.x = torch.from_numpy(voxels_of(work["image"], np.float32, work))
        self.y = torch.from_numpy(voxels_of(work["label"], np.uint8, work))
        if work["variant"] != "default":
            network = network.to(memory_format=torch.channels_last_3d)
            self.x = self.x.to(memory_format=torch.channels_last_3d)
        self.training = work["task"] == "train-step"
        network.train(self.training)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=work["learningRate"])
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True)
        self.network = network

    def precision(self):
        return self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.work["precision"] == "bfloat16")

    def repeat(self):
        return self.step() if self.training else self.window()

    def step(self):
        self.optimizer.zero_grad()
        with self.precision():
            loss = self.loss(self.network(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        return lambda: [value]

    def window(self):
        with self.torch.inference_mode(), self.precision():
            logits = self.network(self.x).float()
        return lambda: sampled(logits.contiguous().numpy(), self.work["samples"])

    def facts(self):
        import monai

        return {"monai": monai.__version__, "torch": self.torch.__version__, "variant": self.work["variant"]}


class OnnxRuntime:
    """Our own export of the same weights."""

    def __init__(self, work):
        import onnxruntime

        self.work, self.runtime = work, onnxruntime
        self.image = voxels_of(work["image"], np.float32, work)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = work["threads"]
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(work["model"], options, providers=["CPUExecutionProvider"])

    def repeat(self):
        (logits,) = self.session.run(["logits"], {"image": self.image})
        return lambda: sampled(logits, self.work["samples"])

    def facts(self):
        return {"onnxruntime": self.runtime.__version__}


class Loading:
    """A scan and its label through MONAI's transforms as the published pipeline has them."""

    def __init__(self, work):
        import torch
        from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, ScaleIntensityRanged, Spacingd

        torch.set_num_threads(work["threads"])
        both = ["image", "label"]
        self.work, self.torch = work, torch
        self.transforms = Compose(
            [
                LoadImaged(both),
                EnsureChannelFirstd(both),
                Spacingd(both, pixdim=work["spacing"], mode=("bilinear", "nearest")),
                ScaleIntensityRanged(
                    ["image"], a_min=work["min"], a_max=work["max"], b_min=work["to"][0], b_max=work["to"][1], clip=True
                ),
            ]
        )

    def repeat(self):
        loaded = self.transforms({"image": self.work["image"], "label": self.work["label"]})
        return lambda: self.outcome(loaded)

    def outcome(self, loaded):
        shape = list(loaded["image"].shape[1:])
        places = np.array(self.work["samples"])  # shares of the extents x, y, z
        x, y, z = (np.minimum((places[:, axis] * n).astype(int), n - 1) for axis, n in enumerate(shape))
        values = [loaded[key].numpy()[0] for key in ("image", "label")]
        means = [float(voxels.mean(dtype=np.float64)) for voxels in values]
        return shape + means + [float(value) for voxels in values for value in voxels[x, y, z]]

    def facts(self):
        import monai

        return {"monai": monai.__version__, "torch": self.torch.__version__}


class Inference:
    """A scan from its file to the mask's file, as the published pipeline has it in MONAI's terms."""

    def __init__(self, work):
        import torch
        from monai.inferers import SlidingWindowInferer
        from monai.networks.nets import SegResNet
        from monai.transforms import (
            Activationsd,
            AsDiscreted,
            Compose,
            CropForegroundd,
            EnsureChannelFirstd,
            Invertd,
            LoadImaged,
            SaveImaged,
            ScaleIntensityRanged,
            Spacingd,
        )

        torch.set_num_threads(work["threads"])
        self.work, self.torch = work, torch
        self.network = SegResNet(spatial_dims=3, init_filters=work["initFilters"], in_channels=1, out_channels=2)
        self.network.load_state_dict(torch.load(work["weights"], weights_only=True))
        self.network.eval()
        self.before = Compose(
            [
                LoadImaged("image"),
                EnsureChannelFirstd("image"),
                Spacingd("image", pixdim=work["spacing"], mode="bilinear"),
                ScaleIntensityRanged("image", a_min=work["min"], a_max=work["max"], b_min=0, b_max=1, clip=True),
                CropForegroundd("image", source_key="image", allow_smaller=True),
            ]
        )
        self.inferer = SlidingWindowInferer(
            roi_size=work["window"], sw_batch_size=work["windowBatch"], overlap=work["overlap"]
        )
        self.folder = os.path.join(work["folder"], "masks")
        save = dict(output_dir=self.folder, separate_folder=False, output_postfix="", resample=False, output_dtype=np.uint8)
        self.after = Compose(
            [
                Activationsd("pred", softmax=True),
                Invertd("pred", transform=self.before, orig_keys="image", nearest_interp=False, to_tensor=True),
                AsDiscreted("pred", argmax=True),
                SaveImaged("pred", print_log=False, **save),
            ]
        )

    def repeat(self):
        from monai.data import decollate_batch, list_data_collate

        batch = list_data_collate([self.before({"image": self.work["image"]})])
        with self.torch.inference_mode():
            batch["pred"] = self.inferer(batch["image"], self.network)
        for item in decollate_batch(batch):
            self.after(item)
        return self.named

    def named(self):
        """The mask carries the scan's name; the other side looks for its own."""
        (mask,) = [name for name in os.listdir(self.folder) if name != "monai.nii.gz"]
        os.replace(os.path.join(self.folder, mask), os.path.join(self.folder, "monai.nii.gz"))
        return []

    def facts(self):
        import monai

        return {"monai": monai.__version__, "torch": self.torch.__version__}


class Metrics:
    """Pairs of masks of one class beside the background, by MONAI's functions; a file holds them one after the other."""

    names = ["dice", "iou", "sensitivity", "precision", "hd", "hd95", "assd", "nsd_1mm", "nsd_3mm"]

    def __init__(self, work):
        import torch
        from monai import metrics

        torch.set_num_threads(work["threads"])
        self.torch, self.metrics = torch, metrics
        if work["names"] != self.names:
            raise ValueError(f"expected the metrics {self.names}, found {work['names']}")
        voxels, at = np.fromfile(work["masks"], np.uint8), 0
        self.pairs = []
        for pair in work["pairs"]:
            x, y, z = pair["shape"]
            masks = []
            for _ in range(2):
                masks.append(voxels[at : at + x * y * z].reshape(z, y, x).transpose(2, 1, 0))
                at += x * y * z
            self.pairs.append((*(self.one_hot(mask) for mask in masks), pair["spacing"]))

    def one_hot(self, mask):
        return self.torch.from_numpy(np.stack([1 - mask, mask])[None].astype(np.float32))

    def repeat(self):
        found = [self.of(*pair) for pair in self.pairs]
        return lambda: [number(value) for values in found for value in values]

    def of(self, pred, truth, spacing):
        m = self.metrics
        confusion = m.get_confusion_matrix(pred, truth, include_background=False)
        return [
            m.compute_dice(pred, truth, include_background=False),
            m.compute_iou(pred, truth, include_background=False),
            m.compute_confusion_matrix_metric("sensitivity", confusion),
            m.compute_confusion_matrix_metric("precision", confusion),
            m.compute_hausdorff_distance(pred, truth, spacing=spacing),
            m.compute_hausdorff_distance(pred, truth, percentile=95, spacing=spacing),
            m.compute_average_surface_distance(pred, truth, symmetric=True, spacing=spacing),
            m.compute_surface_dice(pred, truth, [1.0], spacing=spacing),
            m.compute_surface_dice(pred, truth, [3.0], spacing=spacing),
        ]

    def facts(self):
        import monai

        return {"monai": monai.__version__, "torch": self.torch.__version__}


def number(value):
    """JSON has no NaN and no infinity."""
    value = float(value.flatten()[0])
    return None if value != value else "inf" if value == float("inf") else value


def sampled(logits, voxels):
    """Both logits of some voxels of the first window, whose indices count x fastest."""
    flat = logits[0].transpose(0, 3, 2, 1).reshape(logits.shape[1], -1)  # (class, z y x)
    return flat[:, voxels].T.ravel().tolist()


def voxels_of(path, dtype, work):
    """(batch, 1, x, y, z) of a file with x fastest."""
    x, y, z = work["shape"]
    values = np.fromfile(path, dtype).reshape(work["batch"], 1, z, y, x)
    return np.ascontiguousarray(values.transpose(0, 1, 4, 3, 2))


def prepare(work):
    kinds = {"torch": Torch, "onnxruntime": OnnxRuntime, "loading": Loading, "inference": Inference, "metrics": Metrics}
    return kinds[work["framework"]](work)


def peak_bytes():
    """Of this process alone: Linux hands ru_maxrss down from the process that started it."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main():
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                peer, answer = prepare(request), {}
            elif request["do"] == "repeat":
                started = time.perf_counter()
                outcome = peer.repeat()
                answer = {"seconds": time.perf_counter() - started, "outcome": outcome()}
            else:
                answer = {"peakBytes": peak_bytes(), "facts": peer.facts()}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
