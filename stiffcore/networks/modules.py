"""Architectures as modules: the paper's three are torchvision's, all others have the same names of their parts.

Parts: ``conv1``, ``bn1`` (not of pre-activation networks), ``maxpool`` (the identity without one), ``layer1`` … with the
blocks, ``norm`` (only of pre-activation networks with a last batch norm), ``fc`` (absent without a head).
"""

import torch
from torch import Tensor, nn

from stiffcore.networks.architecture import CATALOGUE, EXPANSION, STEMS, Architecture
from stiffcore.torchvision_compat import torchvision


def build(architecture: Architecture) -> nn.Module:
    """The network with initial weights from torch's global generator.

    Those of the paper's three are torchvision's; those of all others are normal, with variance 2 / fan-in, in convolutions and
    the head (He et al. 2015).
    """
    if architecture in (CATALOGUE["resnet18"], CATALOGUE["resnet34"], CATALOGUE["resnet50"]):
        resnet = torchvision("models.resnet")
        unit = resnet.Bottleneck if architecture.is_bottleneck else resnet.BasicBlock
        model: nn.Module = resnet.ResNet(unit, list(architecture.depths), num_classes=10)
        model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        return model
    return ResidualNetwork(architecture)


class ResidualNetwork(nn.Module):
    """images (N, 3, H, W), normalised -> scores (N, classes), or without a head the last features' means (N, C)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        kernel, stride, pool = STEMS[architecture.stem]
        channels = architecture.stem_channels
        self.conv1 = nn.Conv2d(3, channels, kernel, stride, kernel // 2, bias=architecture.biases)
        if not architecture.is_preactivated:
            self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self._stages = len(architecture.depths)
        for stage in range(self._stages):
            setattr(self, f"layer{stage + 1}", _stage(architecture, stage, channels))
            channels = architecture.out_channels[stage]
        if architecture.last_norm:
            self.norm = nn.BatchNorm2d(channels)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        if architecture.classes:
            self.fc = nn.Linear(channels, architecture.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images)
        if hasattr(self, "bn1"):
            x = self.relu(self.bn1(x))
        x = self.maxpool(x)
        for stage in range(self._stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        if hasattr(self, "norm"):
            x = self.relu(self.norm(x))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x) if hasattr(self, "fc") else x


def _stage(architecture: Architecture, stage: int, channels: int) -> nn.Sequential:
    blocks = []
    for position in range(architecture.depths[stage]):
        stride = 2 if stage > 0 and position == 0 else 1
        make = PreActivation if architecture.is_preactivated else _post_activation
        blocks.append(make(architecture, stage, channels, stride))
        channels = architecture.out_channels[stage]
    return nn.Sequential(*blocks)


def _post_activation(architecture: Architecture, stage: int, channels: int, stride: int) -> nn.Module:
    """torchvision's block (He et al. 2015), whose ReLU follows the addition."""
    resnet = torchvision("models.resnet")
    narrow, wide = architecture.widths[stage], architecture.out_channels[stage]
    skip = _skip(architecture, channels, wide, stride, with_norm=True)
    if architecture.is_bottleneck:
        base = wide // EXPANSION  # torchvision's block has four times these channels
        block: nn.Module = resnet.Bottleneck(channels, base, stride, skip, base_width=64 * narrow // base)
    else:
        block = resnet.BasicBlock(channels, wide, stride, skip)
    if architecture.biases:
        for name, convolution in list(block.named_children()):
            if isinstance(convolution, nn.Conv2d):
                setattr(block, name, _with_bias(convolution))
    return block


def _with_bias(convolution: nn.Conv2d) -> nn.Conv2d:
    sizes = (convolution.kernel_size, convolution.stride, convolution.padding)
    return nn.Conv2d(convolution.in_channels, convolution.out_channels, *sizes)  # type: ignore[arg-type]  # the stub's pairs


def _skip(architecture: Architecture, channels: int, wide: int, stride: int, with_norm: bool) -> nn.Module | None:
    """A block's skip where it changes the shape; None for the identity."""
    if stride == 1 and channels == wide:
        return None
    if architecture.shortcut == "padding":
        return PaddedSkip(stride, wide)
    convolution = nn.Conv2d(channels, wide, 1, stride, bias=architecture.biases)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide)) if with_norm else convolution


class PaddedSkip(nn.Module):
    """Every ``stride``-th pixel, with channels of zeros before and after (He et al. 2015, option A); no weights."""

    def __init__(self, stride: int, channels: int):
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        missing = self.channels - x.shape[1]
        return nn.functional.pad(x, (0, 0, 0, 0, missing // 2, missing - missing // 2))


class PreActivation(nn.Module):
    """x -> branch(x) + skip(x), with batch norm and ReLU before each convolution (He et al. 2016).

    activated_skip: whether a convolution in the skip is applied to the activated input, relu(bn1(x)), and not to x.
    """

    downsample: nn.Module | None

    def __init__(self, architecture: Architecture, stage: int, channels: int, stride: int):
        super().__init__()
        narrow, wide = architecture.widths[stage], architecture.out_channels[stage]
        self.activated_skip = architecture.shortcut == "convolution"
        if architecture.is_bottleneck:
            sizes = [(channels, narrow, 1, 1), (narrow, narrow, 3, stride), (narrow, wide, 1, 1)]
        else:
            first, second = (1, stride) if architecture.late_stride else (stride, 1)
            sizes = [(channels, narrow, 3, first), (narrow, wide, 3, second)]
        for number, (inside, outside, kernel, step) in enumerate(sizes, 1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(inside))
            convolution = nn.Conv2d(inside, outside, kernel, step, kernel // 2, bias=architecture.biases)
            self.add_module(f"conv{number}", convolution)
        self.relu = nn.ReLU()
        self.downsample = _skip(architecture, channels, wide, stride, with_norm=False)
        self._convolutions = len(sizes)

    def forward(self, x: Tensor) -> Tensor:
        out = activated = self.relu(self.get_submodule("bn1")(x))
        for number in range(1, self._convolutions + 1):
            norm, convolution = self.get_submodule(f"bn{number}"), self.get_submodule(f"conv{number}")
            out = convolution(activated if number == 1 else self.relu(norm(out)))
        if self.downsample is not None:
            x = self.downsample(activated if self.activated_skip else x)
        return out + x
