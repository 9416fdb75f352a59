"""Networks with their weights: those that ship, the baselines, uploaded ones; their hashes and predictions.

The paper's three are torchvision's ``ResNet`` with a 3×3 stride-1 stem without bias, max-pool kept, 10 classes: the first stage
sees 64×16×16. Weights ship as float16 safetensors; computations use float32 or float64.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stiffcore.errors import CannotCompute
from stiffcore.networks import baselines, catalogue, manifest, modules, uploaded as uploaded_networks
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import CIFAR10, Preprocessing


def build(network: str | Architecture) -> nn.Module:
    """An architecture, or that of a network's name, with initial weights (torch's global generator)."""
    return modules.build(catalogue.architecture_of(network) if isinstance(network, str) else network)


def template(network: str | Architecture) -> nn.Module:
    """The same without memory (on torch's meta device): names, shapes and types only."""
    with torch.device("meta"):
        return build(network)


def load(network: str) -> nn.Module:
    """A network with its shipped weights, a baseline, or an uploaded one: evaluation mode, float32, on the CPU, without gradients.

    Raises CannotCompute if a file is missing, damaged, or not the one that the manifest names.
    """
    expected = manifest.entry(network).sha256
    if uploaded_networks.is_name(network):
        return with_weights(network, _uploaded_state(network, expected), expected)
    state, sha256 = shipped_state(network)
    if sha256 != expected:
        raise CannotCompute(
            f"Expected weights {expected[:12]} for {network}, got {sha256[:12]} in {manifest.FOLDER}: restore the files "
            "that ship, or rebuild the list with `python -m stiffcore weights-manifest`."
        )
    return with_weights(network, state, sha256)


def shipped_state(network: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a network or baseline as they ship, checked, and the hash that names them."""
    source, _, baseline = network.partition("-")
    shape_of = template(source).state_dict()
    if baseline != "untrained":
        trained = read_tensors(manifest.FOLDER / f"{source}.safetensors")
        check_state(trained, shape_of, f"the weights of {source}")
        if not baseline:
            return trained, tensors_sha256(trained)
    path = manifest.FOLDER / f"{network}.safetensors"
    statistics = read_tensors(path)
    names = {name: tensor for name, tensor in shape_of.items() if name.endswith(baselines.STATISTICS)}
    check_state(statistics, names, f"the batch-norm statistics of {network}")
    state = baselines.untrained(shape_of) if baseline == "untrained" else baselines.shuffled(trained)
    source_sha256 = "" if baseline == "untrained" else tensors_sha256(trained)
    return state | statistics, baselines.name_of(baseline, source, source_sha256, tensors_sha256(statistics))


def shipped_sha256(network: str) -> str:
    """The hash that names a network or baseline as it ships: ``shipped_state`` without the work of making a baseline's tensors."""
    source, _, baseline = network.partition("-")
    sources = "" if baseline == "untrained" else tensors_sha256(read_tensors(manifest.FOLDER / f"{source}.safetensors"))
    if not baseline:
        return sources
    statistics = read_tensors(manifest.FOLDER / f"{network}.safetensors")
    return baselines.name_of(baseline, source, sources, tensors_sha256(statistics))


def _uploaded_state(network: str, sha256: str) -> dict[str, Tensor]:
    """The tensors of an uploaded network: checked again, since the file may have been changed."""
    try:
        state = load_file(uploaded_networks.tensors_path(network))
        check_state(state, template(network).state_dict(), f"the weights of {network}")
        if key_sha256(state, catalogue.architecture_of(network)) != sha256:
            raise ValueError("they are not those that were uploaded")
    except CannotCompute:
        raise
    except Exception as error:  # of safetensors, of the disk, or of damaged numbers
        raise CannotCompute(
            f"The uploaded weights of {network} are damaged ({error!s:.80}): upload them again on the page Own files."
        ) from error
    return state


def with_weights(network: str | Architecture, state: dict[str, Tensor], sha256: str) -> nn.Module:
    """The architecture, or that of a network's name, with checked tensors in float32, in evaluation mode, named by ``sha256``."""
    model = template(network)
    as_float32 = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    model.load_state_dict(as_float32, strict=True, assign=True)
    model.weights_sha256 = sha256  # type: ignore[assignment]  # torch types every attribute as a tensor or a module
    return model.eval().requires_grad_(False)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises CannotCompute if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CannotCompute(f"Expected weights in {path}, got no such file: {_how_to_repair(path)}.") from None
    except (SafetensorError, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise CannotCompute(
            f"Expected a safetensors file in {path}, got a damaged one ({error}): {_how_to_repair(path)}."
        ) from error


def _how_to_repair(path: Path) -> str:
    """Shipped weights must be those of the manifest: newly trained ones would be refused."""
    return "restore it from the project" if path.parent == manifest.FOLDER else "name another file"


def check_state(tensors: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    """Refuse tensors whose names, shapes, types or values do not fit. Raises CannotCompute naming the first misfit."""
    missing, foreign = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        got = f"{len(missing)} missing, first {missing[0]!r}" if missing else f"an unknown one, {foreign[0]!r}"
        raise CannotCompute(
            f"Expected {what} to have {len(expected)} tensors by their names, got {got}: use another file."
        )
    for name, tensor in sorted(tensors.items()):
        wanted, problem = expected[name], ""
        if tensor.shape != wanted.shape:
            problem = f"shape {tuple(wanted.shape)}, got {tuple(tensor.shape)}"
        elif tensor.is_floating_point() != wanted.is_floating_point() or tensor.is_complex():
            problem = f"type {wanted.dtype}, got {tensor.dtype}"
        elif tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            problem = "finite numbers, got NaN or infinity"
        elif name.endswith("running_var") and (tensor < 0).any():
            problem = "variances from 0, got a negative one"
        if problem:
            raise CannotCompute(f"Expected {name} of {what} to have {problem}: use another file.")


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """The SHA-256 of the tensors sorted by name: each one's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def key_sha256(tensors: dict[str, Tensor], architecture: Architecture) -> str:
    """The hash that names the weights of an own network in every key: of its tensors, and of what they do not say.

    Tensors with the structure of a network that can be trained here have the hash that they would have as shipped weights.
    """
    sha256 = tensors_sha256(tensors)
    if architecture in catalogue.ARCHITECTURES.values():
        return sha256
    return hashlib.sha256(f"{sha256} {architecture.text}".encode()).hexdigest()


def weights_sha256(model: nn.Module) -> str:
    """The hash that names the model's weights in every result: recorded by ``with_weights``, else of its tensors."""
    return getattr(model, "weights_sha256", None) or tensors_sha256(model.state_dict())


def predictions(
    model: nn.Module,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    batch_size: int = 250,
    preprocessing: Preprocessing = CIFAR10,
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted labels int64 (N,) and cross-entropies float64 (N,), NaN without labels.

    images: uint8 (N, 32, 32, 3). In the model's precision and on its device.
    """
    losses = all_losses(model, images, batch_size, preprocessing)
    loss = np.full(len(images), np.nan) if labels is None else losses[np.arange(len(images)), np.asarray(labels)]
    return losses.argmin(1), loss


@torch.no_grad()
def all_losses(
    model: nn.Module, images: np.ndarray, batch_size: int = 250, preprocessing: Preprocessing = CIFAR10
) -> np.ndarray:
    """Cross-entropy at each image for each class, −log softmax: float64 (N, classes).

    The predicted label has the smallest; exp(−loss) is the label's probability.
    """
    model.eval()
    parameter = next(model.parameters())
    losses = []
    for at in range(0, len(images), batch_size):
        scores = model(preprocessing(images[at : at + batch_size]).to(parameter)).double().cpu()
        losses.append(-nn.functional.log_softmax(scores, 1).numpy())
    return np.concatenate(losses)
