"""The Python interface: names, files, modules and arrays in, results out. ``import stiffcore as sc`` offers all of it.

Like the command line, it turns names into objects. torch and pandas are imported only by the functions that need them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stiffcore.analysis import compute, on_card
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.images import cifar10, registry as images
from stiffcore.images.image import NO_IMAGE, Image
from stiffcore.images.labels import LABELS
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from scipy.sparse.linalg import LinearOperator
    from torch import nn

    from stiffcore.jacobians.linearise import BlockState

Level = Literal["norms", "extremes", "counts", "spectrum"]
ALL = "all"
BUNDLED = "bundled"


@dataclass(frozen=True)
class Analysis(Result):
    """A ``Result`` that can be plotted; ``analyse`` returns one."""

    def plot(self, axes: str = "", dark: bool = False) -> "go.Figure":
        """The Spectrum page's figure of this block, which a notebook displays. Needs level "spectrum".

        axes: "linear" or "arcsinh"; by default the convention's. dark: for a dark background. Raises CannotCompute if
        the result has no spectrum.
        """
        from stiffcore.figures.spectra import spectrum
        from stiffcore.figures.theme import Style

        self.check_spectrum()
        chosen = axes or self.request.convention.default_axes
        return spectrum.figure([self], Style(dark=dark), axes=chosen)


def network(
    network: "str | Network | nn.Module",
    *,
    name: str = "",
    image_size: int = cifar10.SHAPE[0],
    mean: tuple[float, float, float] = cifar10.MEAN,
    std: tuple[float, float, float] = cifar10.STANDARD_DEVIATION,
    classes: Sequence[str] | None = None,
    blocks: str | Sequence[str] = (),
) -> Network:
    """A network from its name, or from a module in memory.

    network: ``"resnet18"``, ``"resnet50-untrained"``, the name of an uploaded network; or any module that takes an image. It is
        copied: later training does not change the network.
    name, classes: names of a module and of its labels. image_size: height and width of its images, in pixels.
    mean, std: per channel, of the normalisation (x / 255 − mean) / std.
    blocks: names or patterns of the module's parts, like "encoder.layers.*". By default its residual blocks of convolutions, found
        by their structure and checked against the module; else its repeated parts that keep the shape, each read as x + F(x).

    Raises CannotCompute for an unknown name, and for a module without such blocks.

    >>> sc.network("resnet18").blocks[7].n_out
    2048
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, str):
        return networks.find(network)
    if isinstance(classes, int):
        raise ValueError(f"Expected the names of the classes, got {classes!r}: give a list of texts.")
    _check_preprocessing(image_size, mean, std)
    from stiffcore.jacobians import memory

    preprocessing = Preprocessing(_three(mean), _three(std), image_size)
    patterns = (blocks,) if isinstance(blocks, str) else tuple(blocks)
    return memory.network(network, name or type(network).__name__, preprocessing, classes, patterns)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    """Plain numbers, equal and hashed by value: they are part of a result's key."""
    first, second, third = map(float, values)
    return first, second, third


def _check_preprocessing(image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises ValueError for what is no size or no normalisation of three channels."""
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 1:
        raise ValueError(
            f"Expected image_size in pixels, a whole number from 1, got {image_size!r}: give the network's."
        )
    for name, values, least in (("mean", mean, -math.inf), ("std", std, 0.0)):
        numbers = np.asarray(values, dtype=float)
        if numbers.shape != (3,) or not np.isfinite(numbers).all() or not (numbers > least).all():
            above = " above 0" if name == "std" else ""
            raise ValueError(
                f"Expected {name} as three numbers{above}, one per channel, got {values!r}: give the network's."
            )


def load_checkpoint(path: str | Path, name: str = "", stem: str = "", normalisation: str = "") -> Network:
    """The network in a file of weights (a PyTorch file or safetensors), read without executing anything in it.

    No file says whether there is a max-pool, and how images were normalised: what fits the images that ship best is taken.
    ``reading`` says what that is and how well it fits, and ``doubt`` why it may be wrong. The first reading of a file takes seconds.

    name: the network's name, by default the file's. stem: "pool" or "none"; normalisation: "cifar10", "std-0.2023", "half",
        "imagenet", "mean-only", "0-to-1", "0-to-255" or "cifar100"; to overrule. Do not move the file: every worker of a sweep reads
        it again.
    Raises CannotCompute for a file that is not a checkpoint of a residual network under names that are known.

    >>> sc.load_checkpoint("best.pt").architecture
    'resnet18'
    """
    from stiffcore.checkpoints import inspect

    return inspect.network_in(Path(path), name, stem, normalisation)


def image(image: int | np.ndarray | Image, *, name: str = "", label: int | None = None) -> Image:
    """An image from its number or its pixels.

    image: an index in CIFAR-10's official test set (1,000 of them ship), the number of an uploaded image, or uint8 pixels of
    shape (height, width, 3), RGB. name, label: of an array; by default it is named after its hash, which tells arrays apart in
        tables; label is a position in the network's classes.
    Raises CannotCompute for an image that is not on this machine, ValueError for an array of another type or shape.

    >>> sc.image(0).label_name
    'cat'
    """
    if isinstance(image, Image):
        return image
    if isinstance(image, np.ndarray):
        return Image.of(image, name, label)
    return images.find(image)


def matrix(matrix: "str | Path | np.ndarray | Sequence[np.ndarray]", name: str = "") -> Network:
    """One or several square matrices in place of a network: block k is the k-th, and no image has a part in them.

    matrix: of shape (n, n), a stack (k, n, n), a list of matrices, or a file of them: .npy, .npz, .safetensors, a tensor of
    torch.save. Under "branch" A is the Jacobian of x′ = F(x); under "block" the matrix is I + A, a step of forward Euler.
    Raises CannotCompute for anything but real, finite, square matrices.

    >>> sc.analyse(sc.matrix(np.diag([-1.0, -100.0])), convention="branch").metrics["min_re"]
    -100.0
    """
    from stiffcore.matrices import as_network

    return (
        as_network.of_file(Path(matrix), name) if isinstance(matrix, str | Path) else as_network.of_arrays(matrix, name)
    )


_network, _image = network, image  # the functions below have arguments of these names


def request(
    network: "str | Network | nn.Module",
    image: int | np.ndarray | Image,
    block: int,
    convention: str,
    level: Level = "counts",
) -> Request:
    """What to compute, in the form that the package's functions take.

    block: counted from 1. convention: "slices", "block" or "branch". level: "norms" (logarithmic norms, stiffness indicator and
    norm of "block" and "branch", in less than a second), "extremes" (the outermost eigenvalues, too), "counts" (every metric) or
    "spectrum" (the eigenvalues, too). Raises CannotCompute for an unknown block, convention or level.
    """
    asked = _network(network)
    seen = _image(image) if asked.takes_images else NO_IMAGE
    return Request(asked, seen, block, Convention(convention), level).checked()


def analyse(
    network: "str | Network | nn.Module",
    image: int | np.ndarray | Image = 0,
    block: int = 1,
    convention: str = "branch",
    level: Level = "counts",
    progress: Progress | None = None,
    device: str = AUTO,
) -> Analysis:
    """The spectrum of one residual block's Jacobian at one image, from the cache or newly computed.

    block: counted from 1. convention: "slices" (as published), "block" (the whole block) or "branch" (the ODE's right-hand
    side). level: see ``request``. progress: called as progress(done, total, what); may raise Cancelled. device: "cpu", "cuda", "cuda:1", or
    "auto" for the quicker one; a stored result is the same wherever it was computed, and ``made["device"]`` says where.

    ``metrics``: name -> number, NaN if it is missing, and ``reasons``: name -> why. ``eigenvalues()``: complex128, all n of
    them, structural 0 and 1 included. ``plot()``: a Plotly figure. ``made``: how it was computed.
    Raises CannotCompute with one sentence about what is wrong and what to do.

    >>> result = sc.analyse("resnet18", image=0, block=8, convention="branch", level="spectrum")
    >>> len(result.eigenvalues())
    2048
    """
    from stiffcore.sweeps import local

    local.check_device(device)  # also where the result is stored
    result = compute.compute(request(network, image, block, convention, level), progress, device)
    return Analysis(**vars(on_card.with_reason(result, device)))


def sweep(
    network: "str | Network | nn.Module",
    images: str | int | np.ndarray | Image | Iterable[int | np.ndarray | Image] = BUNDLED,
    blocks: str | int | Iterable[int] = ALL,
    convention: str = "slices",
    level: Level = "counts",
    workers: int | None = None,
    progress: Progress | None = None,
    device: str = AUTO,
) -> "pd.DataFrame":
    """Every block at every image, one row each; stored and shipped results are not computed again.

    images: "bundled", "all", a list like "0,3,10:20", or numbers, arrays and images. blocks: "all", a list like "6,8", or numbers from 1.
    workers: processes of one thread each, started with spawn on every system, so that neither a script nor a notebook needs a
    guard; by default one per core, of which each card has one for itself; 1 computes in this process, and is needed for a module whose class is
    defined in the script or notebook itself. progress: counts the images. device: "auto" uses cards and cores, "cpu" cores, "cuda" cards,
    "cuda:1" one card.

    Columns: network, weights, image, label, predicted, correct, loss, block, convention, n_in, n_out, the metrics, seconds,
    device … Raises CannotCompute with the first reason if a block could not be computed; finished results are stored.

    >>> rows = sc.sweep("resnet18", images="0:10", blocks=[8], convention="branch", workers=2)
    """
    from stiffcore.commands import terminal
    from stiffcore.sweeps import together

    asked = _network(network)
    chosen = images_of(images) if asked.takes_images else [NO_IMAGE]
    if isinstance(blocks, str):
        blocks = terminal.parse_blocks(asked, blocks)
    numbers = list(blocks) if isinstance(blocks, Iterable) else [blocks]
    return together.rows(
        asked, chosen, numbers, Convention(convention), level, workers, progress, device, terminal.say_notices
    )


def images_of(wanted: str | int | np.ndarray | Image | Iterable[int | np.ndarray | Image]) -> list[Image]:
    if isinstance(wanted, str):
        return images.listed(wanted)
    if isinstance(wanted, np.ndarray | Image) or not isinstance(wanted, Iterable):
        wanted = [wanted]
    return [_image(one) for one in wanted]


def rows(network: "str | Network | nn.Module", convention: str = "slices") -> "pd.DataFrame":
    """A network's rows that ship or that this machine has computed, at the images that ship; computes nothing.

    One row per image and block, columns as of ``sweep``; empty where there are none.

    >>> sc.rows("resnet18", "slices")["image"].nunique()
    1000
    """
    from stiffcore.sweeps import shipping
    from stiffcore.sweeps.stored_rows import StoredRows

    asked, reading = _network(network), Convention(convention)
    return shipping.merged(shipping.rows(asked, reading), StoredRows().rows(asked, reading, images.bundled()))


def by_block(rows: "pd.DataFrame", metrics: Sequence[str] | None = None) -> "pd.DataFrame":
    """Mean, median and standard deviation of metrics by block, and over all blocks; the paper's Tables 2, 5 and 8.

    rows: of one network and convention. metrics: names; by default S and P. Columns: block, metric, mean, median, std, n,
    n_undefined, n_not_computed, n_blocks, of_blocks. Raises ValueError for rows of several networks or conventions.

    >>> sc.by_block(sc.rows("resnet18", "slices"))
    """
    from stiffcore.statistics import tables

    return tables.by_block(rows, _metrics(rows, metrics))


def by_label(
    rows: "pd.DataFrame", metrics: Sequence[str] | None = None, block: int | str = ALL, classes: Sequence[str] = LABELS
) -> "pd.DataFrame":
    """The same by label, of one block or averaged over all; the paper's Tables 3, 6 and 9.

    classes: the names of the network's labels, by default CIFAR-10's.
    """
    from stiffcore.statistics import tables

    if block != ALL and block not in set(rows["block"]):
        raise ValueError(f"Expected {ALL!r} or a block of the rows, got {block!r}: choose one of them.")
    return tables.by_label(rows, _metrics(rows, metrics), block, classes)


def _metrics(rows: "pd.DataFrame", metrics: Sequence[str] | None) -> Sequence[str]:
    """The names of metrics, S and P by default. Raises ValueError for a name that is neither a metric nor a column of numbers."""
    from stiffcore.metrics import definitions
    from stiffcore.statistics import tables

    if metrics is None:
        return tables.SHOWN
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    known = {metric.name for metric in definitions.METRICS} | set(rows.select_dtypes("number"))
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"Expected metrics like {', '.join(tables.SHOWN)}, got {name!r}: stiffcore/README.md lists them."
            )
    return names


def metric_of(rows: "pd.DataFrame", metric: str) -> str:
    """The name itself. Raises ValueError for a name that is neither a metric nor a column of numbers, and for several."""
    if not isinstance(metric, str):
        raise ValueError(f"Expected the name of one metric, got {metric!r}: call it once for each.")
    (name,) = _metrics(rows, metric)
    return name


def correlate(rows: "pd.DataFrame", metric: str, outcome: Literal["accuracy", "loss"] = "loss") -> "pd.DataFrame":
    """Pearson's and Spearman's correlation of a metric with accuracy or loss over the images, one row per block and one for all.

    Columns: block, measure, outcome, r, p, low and high (95 % bootstrap interval), spearman, spearman_p, n, p_adjusted
    (Benjamini and Hochberg's, over the blocks and both outcomes); partial_r, partial_p, partial_low, partial_high and
    partial_p_adjusted, of the partial r given live fraction and label … NaN with a ``reason``, or a ``partial_reason``,
    where it is undefined. p of the row for all blocks permutes the images and is not adjusted.

    >>> sc.correlate(sc.rows("resnet18", "slices"), "percent_negative", "loss")
    """
    from stiffcore.statistics import correlation

    if outcome not in correlation.OUTCOMES:
        raise ValueError(
            f"Expected an outcome among {', '.join(correlation.OUTCOMES)}, got {outcome!r}: choose one of them."
        )
    correlations = correlation.table(rows, [metric_of(rows, metric)])
    return correlations[correlations["outcome"] == outcome].reset_index(drop=True)


def linearise(
    network: "str | Network | nn.Module", image: int | np.ndarray | Image = 0, block: int = 1
) -> "BlockState":
    """A block linearised at an image: its scaled convolutions, ReLU masks and skip, float64 on the CPU.

    >>> state = sc.linearise("resnet18", image=0, block=8)
    >>> state.live_outputs
    791
    """
    return compute.block_state(request(network, image, block, Convention.BLOCK, "extremes"))


def jacobian(state: "BlockState", convention: str = "branch") -> "LinearOperator":
    """The Jacobian of a block as a scipy LinearOperator: ``J @ v``, ``J.T @ w``; float64, shape (n_out, n_in).

    J_F = A2 D1 A1 or A3 D2 A2 D1 A1 under "branch", D_out (J_F + J_s) under "block". Raises CannotCompute under "slices",
    which are many matrices.

    >>> J = sc.jacobian(state, "branch")
    >>> (J @ v).shape
    (2048,)
    """
    from stiffcore.jacobians import operator

    return operator.as_linear_operator(state, Convention(convention))
