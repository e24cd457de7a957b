"""What PyTorch, safetensors and onnx find in files that ctflow wrote, against the checkpoint that they came from.

usage: python3 read_exports.py CHECKPOINT.pt FOLDER      (FOLDER holds model.pt, model.safetensors, model.onnx)
Prints one JSON object: {"what was asked": {"difference", "count"}}.
"""
import json, os, sys
import onnx, torch
from monai.networks.nets import SegResNet
from safetensors.torch import load_file

source = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
weights = source.get("model", source)
at = lambda name: os.path.join(sys.argv[2], name)
report = {}

def differing(found, expected):
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))
    return sum(name not in found or not same(found[name].contiguous(), value.contiguous()) for name, value in expected.items())

ours = torch.load(at("model.pt"), weights_only=True)
mapped = torch.load(at("model.pt"), weights_only=True, mmap=True)
wrong = differing(ours["model"], weights) + differing(mapped["model"], weights) + (list(ours["model"]) != list(weights))
report["torch.load(weights_only=True)"] = {"difference": wrong, "count": f"{len(weights)} tensors"}

def after_one_step(checkpoint):
    """All parameters after a step whose gradients are fixed, from the checkpoint's own state."""
    net = SegResNet(**ours["train_conf"]["train"]["model"]["args"])
    net.load_state_dict(checkpoint["model"])
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.load_state_dict(checkpoint["optimizer"])
    for p in net.parameters():
        p.grad = torch.sin(torch.arange(p.numel(), dtype=torch.float32)).view(p.shape)
    optimizer.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])

if "optimizer" in source:
    a, b = after_one_step(ours), after_one_step(source)
    report["torch.optim.Adam"] = {"difference": float((a - b).abs().max()), "count": f"{a.numel()} parameters"}

wrong = differing(load_file(at("model.safetensors")), weights)
report["safetensors.torch.load_file"] = {"difference": wrong, "count": f"{len(weights)} tensors"}

try:
    onnx.checker.check_model(at("model.onnx"), full_check=True)
    complaints = 0
except Exception as error:
    print(error, file=sys.stderr)
    complaints = 1
report["onnx.checker"] = {"difference": complaints, "count": "1 model"}
print(json.dumps(report))
