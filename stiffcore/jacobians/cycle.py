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
    """The units of each layer that carry anything, from the first inner one to the outer one, where a block's output is its
    input again: those that the ReLUs let through, and whose channel has weights that are not all zero on both sides."""
    found = {f"inner{i + 1}": mask for i, mask in enumerate(state.inner_masks)}
    found[OUTER] = state.kept_outputs(convention) & state.masks[0]
    names = list(found)
    for i, layer in enumerate(state.layers):
        if isinstance(layer, ScaledConvolution):  # zero-initialised residuals, pruned channels
            found[names[i]] = found[names[i]] & layer.weight.flatten(1).any(1)[:, None, None]
            found[names[i - 1]] = found[names[i - 1]] & layer.weight.transpose(0, 1).flatten(1).any(1)[:, None, None]
    return found


def joined(state: BlockState) -> list[tuple[str, ...]]:
    """The layers in groups: within a group, 1×1 factors lead from each layer to the next one of the cycle."""
    order = [f"inner{i + 1}" for i in range(len(state.inner_masks))] + [OUTER]
    starts = [i for i, layer in enumerate(state.layers) if not _keeps_pixels(layer)] or [
        0
    ]  # a layer that is written from afar
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
        self.sizes = [int(mask.sum()) for mask in self.units.values()]
        names = list(self.live)
        start = names.index(layers[0])
        self.order = names[start:] + names[:start]
        self.maps = dict(zip(names, state.layers, strict=True))  # by the layer that each of them writes

    def pixels(self) -> Tensor:
        """The pixel of each unit. int64, shape: (side,)."""
        parts = []
        for mask in self.units.values():
            _, height, width = mask.shape
            parts.append(
                torch.arange(height * width, device=mask.device).reshape(1, height, width).expand_as(mask)[mask]
            )
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
        return dict(zip(self.units, vectors.split(self.sizes, 1), strict=True))

    def _onward(self, vectors: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer of the walk with the values that arrive there, before its mask: the joined layers first, where the
        vectors start, then the others, then the joined ones again."""
        given = self._parts(vectors)
        first, *others = self.layers
        x = vectors.new_zeros(len(vectors), *self.live[first].shape)
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
        """The same walk in the other direction, by the adjoints."""
        given = self._parts(vectors)
        around = self.order[::-1]  # from the last layer of the rest to the first of the joined ones
        last, *others = self.layers[::-1]
        x = vectors.new_zeros(len(vectors), *self.live[last].shape)
        yield last, x
        x[:, self.units[last]] = given[last]
        before = last
        for name in others:
            x = self.maps[before].transpose(x, tuple(self.live[name].shape))
            yield name, x
            x = x * self.live[name]
            x[:, self.units[name]] = given[name]
            before = name
        rest = len(around) - len(self.layers)
        for name in (*around[:rest], *self.layers[::-1]):
            x = self.maps[before].transpose(x, tuple(self.live[name].shape))
            yield name, x
            x = x * self.live[name]
            before = name

    def to_outputs(self, y: np.ndarray, value: complex) -> np.ndarray:
        """W y: a vector K y = μ y followed to the outputs. complex (side,), μ -> complex (n,); see modes.py."""
        return self._at_outer(self._onward(_as_rows(y)), y, value, self.layers, self.kept)

    def to_inputs(self, z: np.ndarray, value: complex) -> np.ndarray:
        """D Vᵀ z: a vector zᵀ K = μ zᵀ followed back to the inputs. complex (side,), μ -> complex (n,); see modes.py."""
        known = self.kept & self.state.masks[0]
        return self._at_outer(self._backward(_as_rows(z)), z, value, self.layers[::-1], known)

    def _at_outer(
        self,
        walk: Iterator[tuple[str, Tensor]],
        vector: np.ndarray,
        value: complex,
        layers: tuple[str, ...],  # in the direction of the walk
        mask: Tensor,  # of the outer layer's units that are wanted
    ) -> np.ndarray:
        """The vector at the outer layer. Where the walk comes to it before it has met all of a pixel's units of the core, the
        values are those of the second round, which is μ times as large."""
        arrivals = (_complex(x * mask) for name, x in walk if name == OUTER)
        found = next(arrivals)
        if OUTER not in layers:
            return found
        start = torch.zeros(2, *mask.shape, dtype=torch.float64)
        start[:, self.units[OUTER]] = self._parts(_as_rows(vector))[OUTER]
        chosen = self._chosen()
        here = ((chosen == self.layers.index(OUTER)) & (self.live[OUTER] | ~mask)).flatten().numpy()
        earlier = torch.tensor([self.layers.index(name) for name in layers[: layers.index(OUTER)]], dtype=torch.long)
        whole = torch.isin(chosen, earlier).expand(mask.shape).flatten().numpy()
        found = np.where(here, _complex(start), found)
        if (whole | here).all():
            return found
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(whole | here, found, next(arrivals) / value)

    def _chosen(self) -> Tensor:
        """The place among ``layers`` of the layer that the core lives on. int64, shape: a pixel's, or that of a layer alone."""
        if len(self.layers) == 1:
            return torch.zeros(1, dtype=torch.long)
        return torch.stack([self.live[name].sum(0) for name in self.layers]).argmin(0)


def _as_rows(values: np.ndarray) -> Tensor:
    """Complex values as two real rows."""
    return torch.from_numpy(np.stack([values.real, values.imag]))


def _complex(x: Tensor) -> np.ndarray:
    real, imaginary = x.flatten(1).numpy()
    values: np.ndarray = real + 1j * imaginary
    return values
