"""A block's layers as a cycle, and the units of it that a core lives on, chosen pixel by pixel.

The outputs of a block are its inputs again, so its layers form a cycle of factors. A 1×1 convolution is block-diagonal over the
pixels: a product of such factors has at each pixel the rank of the narrowest layer there. Layers that 1×1 factors join are
therefore cut at each pixel p at the narrowest of them, and the core has the side

    r = Σ_p min over the joined layers of their live units at p,

the least over the groups of joined layers: of a bottleneck Σ_p min(b2(p), o(p), b1(p)), of a basic block min(b1, o).
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.jacobians.layers import Layer, ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

OUTER = "outer"


def masks(state: BlockState, convention: Convention) -> dict[str, Tensor]:
    """The live units of each layer, from the first inner one to the outer one, where a block's output is its input again."""
    found = {f"inner{i + 1}": mask for i, mask in enumerate(state.inner_masks)}
    found[OUTER] = state.kept_outputs(convention) & state.masks[0]
    return found


def joined(state: BlockState) -> list[tuple[str, ...]]:
    """The layers in groups: within a group, 1×1 factors lead from each layer to the next one of the cycle."""
    order = [f"inner{i + 1}" for i in range(len(state.inner_masks))] + [OUTER]
    starts = [i for i, layer in enumerate(state.layers) if not _keeps_pixels(layer)] or [0]  # a layer that is written from afar
    ends = [*starts[1:], starts[0] + len(order)]
    return [tuple(order[i % len(order)] for i in range(start, end)) for start, end in zip(starts, ends, strict=True)]


def _keeps_pixels(layer: Layer) -> bool:
    return isinstance(layer, ScaledConvolution) and layer.radius == 0


def narrowest(live: dict[str, Tensor], layers: tuple[str, ...]) -> dict[str, Tensor]:
    """The units of the joined layers that a core lives on: at each pixel those of the narrowest layer. bool, as ``live``."""
    if len(layers) == 1:
        return {layers[0]: live[layers[0]]}
    width = torch.stack([live[name].sum(0) for name in layers])  # shape: (layers, H, W)
    best = width.argmin(0)
    return {name: live[name] & (best == i) for i, name in enumerate(layers)}


class Cycle:
    """The product K of a block's factors, once around the cycle from the units of the joined ``layers`` back to them.

    Vectors hold the units layer by layer, in the order of the masks.
    """

    def __init__(self, state: BlockState, convention: Convention, layers: tuple[str, ...]):
        self.state, self.live, self.layers = state, masks(state, convention), layers
        self.units = narrowest(self.live, layers)
        self.kept = state.kept_outputs(convention)
        names = list(self.live)
        start = names.index(layers[0])
        self.order = names[start:] + names[:start]
        self.maps = dict(zip(names, state.layers, strict=True))  # by the layer that each of them writes

    def pixels(self) -> Tensor:
        """The pixel of each unit. int64, shape: (side,)."""
        parts = []
        for mask in self.units.values():
            _, height, width = mask.shape
            parts.append(torch.arange(height * width).reshape(1, height, width).expand_as(mask)[mask])
        return torch.cat(parts)

    def product(self, vectors: Tensor) -> Tensor:
        """V Kᵀ for vectors as rows; V: float64, shape (number, side)."""
        return self._collected(self._onward(vectors), self.layers)

    def transposed(self, vectors: Tensor) -> Tensor:
        """V K; V: float64, shape (number, side)."""
        return self._collected(self._backward(vectors), self.layers[::-1])

    def _collected(self, arrivals: Iterator[tuple[str, Tensor]], order: tuple[str, ...]) -> Tensor:
        """The values at the core's units when the walk comes to them for the second time."""
        latest = dict(arrivals)
        parts = {name: latest[name][:, self.units[name]] for name in order}
        return torch.cat([parts[name] for name in self.units], 1)

    def _parts(self, vectors: Tensor) -> dict[str, Tensor]:
        sizes = [int(mask.sum()) for mask in self.units.values()]
        return dict(zip(self.units, vectors.split(sizes, 1), strict=True))

    def _onward(self, vectors: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer of the walk with the values that arrive there, before its mask: the joined layers first, where the
        vectors start, then the others, then the joined ones again."""
        given = self._parts(vectors)
        first, *others = self.layers
        x = torch.zeros(len(vectors), *self.live[first].shape, dtype=torch.float64)
        yield first, x
        x[:, self.units[first]] = given[first]
        for name in others:  # nothing arrives at pixels whose units start here: 1×1 factors keep pixels apart
            x = self.maps[name](x)
            yield name, x
            x = x * self.live[name]
            x[:, self.units[name]] = given[name]
        for name in (*self.order[len(self.layers) :], *self.layers):
            x = self.maps[name](x)
            yield name, x
            x = x * self.live[name]

    def _backward(self, vectors: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The same walk in the other direction, by the adjoints; the values that arrive are masked."""
        given = self._parts(vectors)
        around = self.order[::-1]  # from the last layer of the rest to the first of the joined ones
        last, *others = self.layers[::-1]
        x = torch.zeros(len(vectors), *self.live[last].shape, dtype=torch.float64)
        yield last, x
        x[:, self.units[last]] = given[last]
        before = last
        for name in others:
            x = self._back(before, name, x)
            yield name, x
            x[:, self.units[name]] = given[name]
            before = name
        rest = len(around) - len(self.layers)
        for name in (*around[:rest], *self.layers[::-1]):
            x = self._back(before, name, x)
            yield name, x
            before = name

    def _back(self, name: str, to: str, x: Tensor) -> Tensor:
        """From the layer ``name`` to the one before it."""
        return self.maps[name].transpose(x, tuple(self.live[to].shape)) * self.live[to]

    def to_outputs(self, y: np.ndarray, value: complex) -> np.ndarray:
        """W y: a vector K y = μ y followed through to the outputs. complex (side,), μ -> complex (n,); see modes.py.

        Pixels that the walk reaches with a part of y only take their values from the second time round, which is μ times as large.
        """
        arrivals = (x for name, x in self._onward(_as_rows(y)) if name == OUTER)
        if OUTER not in self.layers:
            return _complex(next(arrivals) * self.kept)
        whole, here = self._seen(self.layers)
        if self.state.masks_inputs:  # D_0 keeps a part of the outputs from the core
            here = torch.zeros_like(here)
        return self._from_rounds(arrivals, y, value, whole, here) * self.kept.flatten().numpy()

    def to_inputs(self, z: np.ndarray, value: complex) -> np.ndarray:
        """D Vᵀ z: a vector zᵀ K = μ zᵀ followed back to the inputs. complex (side,), μ -> complex (n,); see modes.py."""
        arrivals = (x for name, x in self._backward(_as_rows(z)) if name == OUTER)
        if OUTER not in self.layers:
            return _complex(next(arrivals))
        return self._from_rounds(arrivals, z, value, *self._seen(self.layers[::-1]))

    def _seen(self, layers: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Where the walk through ``layers`` comes to the outer layer with all of a pixel's units, and where they start there.

        bool, shapes: the outer mask's.
        """
        shape = self.live[OUTER].shape
        if len(layers) == 1:
            return torch.zeros(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)
        width = torch.stack([self.live[name].sum(0) for name in self.layers])
        best = width.argmin(0)
        place = {name: i for i, name in enumerate(self.layers)}
        earlier = [place[name] for name in layers[: layers.index(OUTER)]]
        whole = torch.isin(best, torch.tensor(earlier, dtype=best.dtype))
        return whole.expand(shape), (best == place[OUTER]).expand(shape)

    def _from_rounds(
        self, arrivals: Iterator[Tensor], vector: np.ndarray, value: complex, whole: Tensor, here: Tensor
    ) -> np.ndarray:
        first = _complex(next(arrivals))
        start = torch.zeros(2, *self.live[OUTER].shape, dtype=torch.float64)
        start[:, self.units[OUTER]] = self._parts(_as_rows(vector))[OUTER]
        found = np.where(here.flatten().numpy(), _complex(start), first)
        done = (whole | here).flatten().numpy()
        if done.all():
            return found
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(done, found, _complex(next(arrivals)) / value)


def _as_rows(values: np.ndarray) -> Tensor:
    """Complex values as two real rows."""
    return torch.from_numpy(np.stack([values.real, values.imag]))


def _complex(x: Tensor) -> np.ndarray:
    real, imaginary = x.flatten(1).numpy()
    values: np.ndarray = real + 1j * imaginary
    return values
