"""Residual blocks as their authors write them, beyond torchvision's."""

import torch
from torch import Tensor, nn


class PreActivated(nn.Module):
    """He et al. 2016, as kuangliu and the usual wide networks write it: the skip of a block that changes the shape starts behind the ReLU."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(out_channels), nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.stride = stride
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False))

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(self.bn2(self.conv1(self.bn1(x).relu())).relu())

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + (self.shortcut(self.bn1(x).relu()) if hasattr(self, "shortcut") else x)


class PreActivatedBottleneck(PreActivated):
    """The same with three convolutions."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1):
        super().__init__(channels, out_channels, stride)
        narrow = out_channels // 4
        self.conv1 = nn.Conv2d(channels, narrow, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(narrow), nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(narrow), nn.Conv2d(narrow, out_channels, 1, bias=False)

    def branch(self, x: Tensor) -> Tensor:
        return self.conv3(self.bn3(super().branch(x)).relu())


class PreActivatedFromInput(PreActivated):
    """As meliketoy writes it: convolutions with biases, and a skip that starts at the input itself."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1):
        super().__init__(channels, out_channels, stride)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        if hasattr(self, "shortcut"):
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class Applied(nn.Module):
    """A function as a module without tensors."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class OptionA(nn.Module):
    """A basic block whose skip subsamples and pads with zeros, as akamaster writes it."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.conv2, self.bn2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.stride, self.shortcut = stride, nn.Sequential()
        if stride != 1 or channels != out_channels:
            pad = (out_channels - channels) // 2
            self.shortcut = Applied(lambda x: nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad)))

    def branch(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))

    def forward(self, x: Tensor) -> Tensor:
        return (self.branch(x) + self.shortcut(x)).relu()


class InSequence(nn.Module):
    """A basic block whose branch is a Sequential, as weiaicunzai writes it."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride, self.shortcut = stride, nn.Sequential()
        self.residual_function = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels),
        )  # fmt: skip
        if stride != 1 or channels != out_channels:
            skip = nn.Conv2d(channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(skip, nn.BatchNorm2d(out_channels))

    def branch(self, x: Tensor) -> Tensor:
        return self.residual_function(x)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))
