"""``doctor``: checks this installation."""

import importlib.metadata
import os
import platform
from argparse import Namespace
from typing import TYPE_CHECKING

from stiffcore.commands import terminal
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import catalogue, manifest
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache

if TYPE_CHECKING:
    from stiffcore.device import Work

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "streamlit",
    "plotly",
    "diskcache",
    "safetensors",
)
PROBLEMS = 1  # exit code
WORK: "dict[Work, str]" = {
    "spectrum": "from side",
    "iteration": "from vectors of length",
    "patches": "of slices from a number of",
}


def add_parser(commands: terminal.Commands) -> None:
    doctor = commands.add_parser("doctor", help="check this installation", description=_doctor.__doc__)
    doctor.add_argument("--quick", action="store_true", help="check only the hashes of the weights, and run no network")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: Namespace) -> int:
    """Prints versions, device, threads, cards, what is computed where and why, the weights and their accuracy on the bundled images, the state of the cache,
    and free disk space. Exit code 1 if there is a problem."""
    with terminal.progress("network") as progress:
        of_weights = weights(not arguments.quick, progress)
        findings = {
            "versions": versions(),
            "device": devices(),
            "weights": of_weights,
            "images": {"bundled": len(cifar10.bundled()), "full_test_set": cifar10.full_set_path().exists()},
            "cache": result_cache.default().health(),
        }
    problems = [f"{name}: {about['problem']}" for name, about in of_weights.items() if about["problem"]]
    problems += [f"cache: {problem}"] if (problem := terminal.cache_problem()) else []
    if arguments.json:
        terminal.show_json(findings | {"problems": problems})
    else:
        for line in as_lines(findings, problems):
            terminal.show(line)
    return PROBLEMS if problems else 0


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    installed = {"python": platform.python_version(), "platform": platform.platform()}
    return installed | {package: version(package) for package in PACKAGES}


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def devices() -> dict[str, object]:
    """The devices, cores, threads and memory for computing spectra."""
    import torch

    from stiffcore import device

    device.use_one_thread()
    cards = device.cards()
    return {
        "device": cards[0] if cards else "cpu",
        "cards": [card(number) for number in range(len(cards))],
        "placement": placement(),
        "cores": device.usable_cpus(),
        "threads": torch.get_num_threads(),
        "memory_available": device.available_memory(),
    }


def card(number: int) -> dict[str, object]:
    """A card's name, its memory in bytes, how much of it is free, its compute capability, and the compiler of its kernels."""
    import torch

    found, (free, total) = torch.cuda.get_device_properties(number), torch.cuda.mem_get_info(number)
    about = {"name": torch.cuda.get_device_name(number), "memory": total, "free": free}
    return about | {"capability": f"{found.major}.{found.minor}", "triton": version("triton")}


def placement() -> dict[str, str]:
    """What runs where, and why: kind of work -> a sentence."""
    import torch

    from stiffcore import device
    from stiffcore.slices import card_lanes

    if not device.number_of_cards():
        why = "finds no CUDA device" if torch.version.cuda else "is built without CUDA"
        return {"everything": f"on the CPU: torch {torch.__version__} {why}"}
    found: dict[str, str] = {}
    for work, what in WORK.items():
        quicker = [size for size in device.STEPS[work] if device.chosen(work, size) != device.CPU]
        found[work] = f"on the card {what} {quicker[0]:,}" if quicker else "on the CPU at every size"
        found[work] += ", as measured here"
    if reason := card_lanes.reason():
        found["patches"] = reason
    return found


def weights(measured: bool, progress: Progress) -> dict[str, dict]:
    """Per network: the hash, the accuracies of the manifest, the accuracy measured here on the bundled images, and a
    problem or "".

    The files of the baselines are checked; their accuracy, which is that of chance, is not measured.
    """
    import numpy as np

    from stiffcore import device
    from stiffcore.networks import resnets

    indices = cifar10.bundled()
    images, labels = np.stack([cifar10.image(i) for i in indices]), np.array([cifar10.label(i) for i in indices])
    device.training_device()  # all cores: the networks run one after another
    found: dict[str, dict] = {}
    for done, network in enumerate(catalogue.NETWORKS):
        progress(done, len(catalogue.NETWORKS), network)
        found[network] = {"sha256": "", "accuracy": None, "accuracy_bundled": None, "measured": None, "problem": ""}
        try:
            entry, model = manifest.entry(network), resnets.load(network)
        except CannotCompute as error:
            found[network]["problem"] = str(error)
            continue
        found[network] |= {name: getattr(entry, name) for name in ("sha256", "accuracy", "accuracy_bundled")}
        if measured and network in catalogue.SHIPPED:
            here = float((resnets.predictions(model, images)[0] == labels).mean())
            found[network]["measured"] = here
            if abs(here - entry.accuracy_bundled) > 0.005:  # five images; rounding changes one at most
                found[network]["problem"] = (
                    f"The accuracy on the bundled images is {100 * here:.1f} %, not {100 * entry.accuracy_bundled:.1f} %: "
                    "compare the versions above with requirements.txt."
                )
    device.use_one_thread()
    return found


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.2f} %"


def device_lines(where: dict) -> list[str]:
    """Device, cores, memory; the cards; what is computed where, and why."""
    lines = [
        f"device     {where['device']}; {where['cores']} cores, {where['threads']} thread per process, "
        f"{where['memory_available'] / 1e9:.1f} GB of memory available"
    ]
    lines += [
        f"card       {found['name']}, {found['free'] / 1e9:.1f} of {found['memory'] / 1e9:.1f} GB free, compute capability "
        f"{found['capability']}, Triton {found['triton']}"
        for found in where["cards"]
    ]
    return lines + [f"where      {work}: {how}" for work, how in where["placement"].items()]


def as_lines(findings: dict, problems: list[str]) -> list[str]:
    """The findings as lines of text."""
    where, cache = findings["device"], findings["cache"]
    lines = ["versions   " + ", ".join(f"{name} {version}" for name, version in findings["versions"].items())]
    lines += device_lines(where)
    for name, found in findings["weights"].items():
        lines.append(
            f"weights    {name:20} {found['sha256'][:12]:12}  test set {_percent(found['accuracy'])}, bundled images "
            f"{_percent(found['accuracy_bundled'])}"
            + (f" (here {_percent(found['measured'])})" if found["measured"] else "")
        )
    full = (
        "all 10,000 test images" if findings["images"]["full_test_set"] else "`fetch-data` downloads the full test set"
    )
    lines.append(f"images     {findings['images']['bundled']:,} bundled; {full}")
    if cache["problem"]:  # then its results were not counted, and the free space is that of another disk
        return [
            *lines,
            f"cache      {cache['folder']} cannot be used",
            *(f"PROBLEM    {problem}" for problem in problems),
        ]
    lines.append(
        f"cache      {cache['folder']}: {cache['entries']:,} results, {cache['bytes'] / 1e6:.1f} of {cache['size_limit'] / 1e6:,.0f} MB, "
        f"{cache['free_disk'] / 1e9:.1f} GB free on the disk"
    )
    writable = os.access(cache["folder"], os.W_OK) or not os.path.exists(cache["folder"])
    lines += [] if writable else [f"cache      {cache['folder']} cannot be written: results are shown but not stored"]
    return lines + [f"PROBLEM    {problem}" for problem in problems] + ([] if problems else ["no problems"])
