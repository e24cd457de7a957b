"""MONAI on PyTorch, or ONNX Runtime, as a contender: see bench/network/contender.ts for the protocol."""

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

    def __init__(self, work, image, label):
        import torch
        from monai.losses import DiceCELoss
        from monai.networks.nets import SegResNet

        self.torch, self.work = torch, work
        torch.set_num_threads(work["threads"])
        network = SegResNet(spatial_dims=3, init_filters=work["initFilters"], in_channels=1, out_channels=2)
        network.load_state_dict(torch.load(work["weights"], weights_only=True))
        self.x = torch.from_numpy(image)
        self.y = torch.from_numpy(label)
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

    def __init__(self, work, image, label):
        import onnxruntime

        self.work, self.image, self.runtime = work, image, onnxruntime
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
    image = voxels_of(work["image"], np.float32, work)
    label = voxels_of(work["label"], np.uint8, work)
    return {"torch": Torch, "onnxruntime": OnnxRuntime}[work["framework"]](work, image, label)


def peak_bytes():
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
