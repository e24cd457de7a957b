"""PyTorch on the GPU as a contender: see bench/network/contender.ts for the protocol. Needs torch; takes MONAI's network where it is."""

import json
import os
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

# The protocol has standard output to itself; whatever libraries print goes to standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

try:
    import monai
except ImportError:
    monai = None


class Block(nn.Module):
    """Norm, ReLU and convolution, twice, around which the input goes."""

    def __init__(self, channels, groups):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x):
        y = x
        for norm, conv in zip(self.norms, self.convs):
            y = conv(F.relu(norm(y), inplace=True))
        return y + x


class PlainSegResNet(nn.Module):
    """SegResNet (Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", 2018) without its second decoder."""

    def __init__(self, filters, down, up, groups, classes):
        super().__init__()
        self.first = nn.Conv3d(1, filters, 3, padding=1, bias=False)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, blocks in enumerate(down):
            channels = filters * 2**level
            narrow = [nn.Conv3d(channels // 2, channels, 3, stride=2, padding=1, bias=False)] if level > 0 else []
            self.down.append(nn.Sequential(*narrow, *(Block(channels, groups) for _ in range(blocks))))
        for level, blocks in zip(reversed(range(len(down) - 1)), up):
            channels = filters * 2**level
            wide = nn.Sequential(
                nn.Conv3d(2 * channels, channels, 1, bias=False),
                nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False),
            )
            self.up.append(nn.ModuleList([wide, nn.Sequential(*(Block(channels, groups) for _ in range(blocks)))]))
        self.last = nn.Sequential(nn.GroupNorm(groups, filters), nn.ReLU(inplace=True), nn.Conv3d(filters, classes, 1))

    def forward(self, x):
        x, skips = self.first(x), []
        for level in self.down:
            x = level(x)
            skips.append(x)
        skips.pop()
        for wide, blocks in self.up:
            x = blocks(wide(x) + skips.pop())
        return self.last(x)


def plain_loss(logits, label):
    """Soft Dice with squared denominators of both classes, and cross-entropy."""
    wanted = F.one_hot(label[:, 0].long(), logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    found, axes = logits.softmax(1), (2, 3, 4)
    overlap = (found * wanted).sum(axes)
    dice = 1 - (2 * overlap + 1e-5) / ((found**2).sum(axes) + (wanted**2).sum(axes) + 1e-5)
    return dice.mean() + F.cross_entropy(logits, wanted)


class Network:
    """A training step or a window, from the host's memory to the host's: the loss, or the logits. `resident`: all stays on the GPU."""

    def __init__(self, work, device):
        self.work, self.device = work, device
        options = work["network"]
        if monai:
            from monai.losses import DiceCELoss
            from monai.networks.nets import SegResNet

            network = SegResNet(
                spatial_dims=3,
                init_filters=options["initFilters"],
                in_channels=1,
                out_channels=options["outChannels"],
                norm=("GROUP", {"num_groups": options["groups"]}),
                blocks_down=options["blocksDown"],
                blocks_up=options["blocksUp"],
            )
            self.loss = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True)
        else:
            down, up = options["blocksDown"], options["blocksUp"]
            network = PlainSegResNet(options["initFilters"], down, up, options["groups"], options["outChannels"])
            self.loss = plain_loss
        self.training = work["task"] == "train-step"
        self.network = network.to(device).train(self.training)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=work["learningRate"])
        shape = (work["batch"], 1, *work["shape"])
        self.resident = work["variant"] == "float32-resident"
        logits = torch.empty((work["batch"], options["outChannels"], *work["shape"]))
        x, y = torch.rand(shape), (torch.rand(shape) > 0.9).to(torch.uint8)
        if self.resident:
            x, y, logits = x.to(device), y.to(device), logits.to(device)
        elif device.type == "cuda":
            x, y, logits = x.pin_memory(), y.pin_memory(), logits.pin_memory()
        self.x, self.y, self.logits = x, y, logits

    def precision(self):
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.work["variant"] == "bfloat16-autocast")

    def once(self):
        x = self.x.to(self.device, non_blocking=True)
        if not self.training:
            with torch.inference_mode(), self.precision():
                self.logits.copy_(self.network(x))
            return lambda: self.logits.flatten()[:4].tolist()
        y = self.y.to(self.device, non_blocking=True)
        self.optimizer.zero_grad()
        with self.precision():
            loss = self.loss(self.network(x), y)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        return lambda: [value]

    def facts(self):
        return {"network": f"MONAI {monai.__version__}" if monai else "plain PyTorch, since monai is not there"}


class Convolution:
    """One pass of one convolution, on the device alone, in PyTorch's default layout."""

    def __init__(self, work, device):
        ci, co, kernel, stride = (work[name] for name in ("ci", "co", "kernel", "stride"))
        self.x = torch.rand((1, ci, *work["input"]), device=device)
        self.filter = torch.rand((co, ci, kernel, kernel, kernel), device=device)
        self.arguments = ([stride] * 3, [kernel // 2] * 3, [1] * 3)
        self.dy = torch.rand_like(F.conv3d(self.x, self.filter, None, *self.arguments))
        self.pass_ = work["pass"]

    def once(self):
        if self.pass_ == "forward":
            F.conv3d(self.x, self.filter, None, *self.arguments)
        else:
            wanted = [self.pass_ == "input-gradient", self.pass_ == "filter-gradient", False]
            rest = (None, *self.arguments, False, [0, 0, 0], 1, wanted)
            torch.ops.aten.convolution_backward(self.dy, self.x, self.filter, *rest)
        return lambda: []

    def facts(self):
        return {}


class Peer:
    """A repetition does its work as often as `seconds` allow, after once that is not counted, and gives memory back."""

    kinds = {"network": Network, "convolution": Convolution}

    def __init__(self, work):
        self.work, self.device = work, device_for(work["adapter"])
        if self.device.type == "cpu":
            torch.set_num_threads(work["threads"])
        if work["variant"] == "float32-no-tf32":
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
        self.contender = self.kinds[work["kind"]](work, self.device)

    def repeat(self):
        self.contender.once()
        self.synchronize()
        times, started = 0, time.perf_counter()
        while times == 0 or time.perf_counter() - started < self.work["seconds"]:
            for _ in range(max(1, times)):  # twice as many at a time: a kernel is shorter than what it takes to wait for it
                outcome = self.contender.once()
                times += 1
            self.synchronize()
        seconds = (time.perf_counter() - started) / times
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # other processes take turns on the same GPU
        return {"seconds": seconds, "outcome": outcome()}

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def facts(self):
        facts = {"torch": torch.__version__, "variant": self.work["variant"], **self.contender.facts()}
        if self.device.type == "cpu":
            return {**facts, "on": "the processor"}
        memory = torch.cuda.max_memory_allocated(self.device) / 2**20
        return {**facts, "on": torch.cuda.get_device_name(self.device), "device memory": f"{memory:.0f} MiB"}


def device_for(adapter):
    """The GPU that carries the adapter's name, else the first; the processor where PyTorch sees none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    names = [torch.cuda.get_device_name(i).lower() for i in range(torch.cuda.device_count())]
    same = [i for i, name in enumerate(names) if name in adapter.lower() or adapter.lower() in name]
    return torch.device("cuda", same[0] if adapter and same else 0)


def peak_bytes():
    """Of this process alone: Linux hands ru_maxrss down from the process that started it."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                peer, answer = None, {}  # what the work before held goes first
                peer = Peer(request)
            elif request["do"] == "repeat":
                answer = peer.repeat()
            else:
                answer = {"peakBytes": peak_bytes(), "facts": peer.facts()}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        print(json.dumps(answer), file=answers, flush=True)


main()
