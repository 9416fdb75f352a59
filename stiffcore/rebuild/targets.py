"""The list of what ships, in the order in which the app needs it: change what ships here, and run ``python -m stiffcore rebuild``.

A line is a target: its name, its network, and at how many images which blocks are computed at which level; more images, or another
network, are another number or another line. Images are the first ones of each label.
"""

from stiffcore.conventions import Convention
from stiffcore.networks import catalogue
from stiffcore.rebuild.by_image import Growth, Robustness
from stiffcore.rebuild.golden import Golden
from stiffcore.rebuild.odes import Odes
from stiffcore.rebuild.readme import Readme
from stiffcore.rebuild.rows import IDENTITY, Part, Rows
from stiffcore.rebuild.screens import Home
from stiffcore.rebuild.spectra import Spectra
from stiffcore.rebuild.target import Target
from stiffcore.rebuild.trainings import Training
from stiffcore.rebuild.twins import Twins
from stiffcore.rebuild.weights import Weights

NORMS = "norms"
SLICES, BLOCK, BRANCH = Convention.SLICES, Convention.BLOCK, Convention.BRANCH
ONE, TEN = 1, 10  # images: the cat of the scenes; one of each label


def every() -> list[Target]:
    """All targets, in order. Sources stand before what is made from them."""
    return [
        *(Weights(f"{network}/weights", network) for network in catalogue.SHIPPED),
        *SPECTRA_FIRST,
        *ROWS,
        Odes("odes"),
        Twins("twins"),
        *SPECTRA,
        *WHOLE,
        *BASELINES,
        *RUNS,
        Golden("golden"),
        Home("screens", HOME_DRAWS, follows=HOME_FOLLOWS),
        Readme("readme", follows=HOME_FOLLOWS),
    ]


HOME_DRAWS = (
    "spectra-resnet18-branch.parquet",
    *(f"rows-{network}-slices.parquet" for network in catalogue.PAPER),
    *(f"rows-{network}{of}-branch.parquet" for network in catalogue.PAPER for of in ("", "-untrained")),
)
HOME_FOLLOWS = (
    "resnet18/spectra-branch",
    *(f"{network}/{kind}" for network in catalogue.PAPER for kind in ("slices", "branch")),
)
# What the home page and the scenes draw.
SPECTRA_FIRST: tuple[Target, ...] = (
    Spectra("resnet18/spectra-branch", "resnet18", BRANCH, (Part(TEN, (8,)), Part(ONE, (3, 4, 5, 6, 7)))),
    Spectra("resnet18/spectra-block", "resnet18", BLOCK, (Part(TEN, (8,)),)),
    Spectra("resnet18/spectra-slices", "resnet18", SLICES, (Part(TEN, (8,)), Part(ONE))),
    Spectra("resnet18-untrained/spectra-branch", "resnet18-untrained", BRANCH, (Part(ONE, (8,)),)),
    Spectra("resnet18-shuffled/spectra-branch", "resnet18-shuffled", BRANCH, (Part(ONE, (8,)),)),
)
ROWS: tuple[Target, ...] = (
    Rows("resnet18/slices", "resnet18", SLICES, (Part(1000),)),
    Rows(
        "resnet18/branch",
        "resnet18",
        BRANCH,
        (Part(100, (4, 6, 8)), Part(5, (2,)), Part(ONE, (1,)), Part(1000, quantity=NORMS)),
    ),
    Rows("resnet18/block", "resnet18", BLOCK, (Part(100, IDENTITY), Part(1000, quantity=NORMS))),
    Rows("resnet34/slices", "resnet34", SLICES, (Part(300),)),
    Rows("resnet50/slices", "resnet50", SLICES, (Part(300, (16,)), Part(100))),
    Rows("resnet34/block", "resnet34", BLOCK, (Part(20, IDENTITY), Part(300, quantity=NORMS))),
    Rows("resnet50/block", "resnet50", BLOCK, (Part(20, IDENTITY), Part(100, quantity=NORMS))),
    Rows("resnet34/branch", "resnet34", BRANCH, (Part(50, (15, 16)), Part(300, quantity=NORMS))),
    Rows("resnet50/branch", "resnet50", BRANCH, (Part(50, (15, 16)), Part(100, quantity=NORMS))),
)
SPECTRA: tuple[Target, ...] = (
    Spectra("resnet34/spectra-branch", "resnet34", BRANCH, (Part(TEN, (15, 16)),)),
    Spectra("resnet34/spectra-block", "resnet34", BLOCK, (Part(TEN, (15, 16)),)),
    Spectra("resnet50/spectra-branch", "resnet50", BRANCH, (Part(TEN, (15, 16)),)),
    Spectra("resnet50/spectra-block", "resnet50", BLOCK, (Part(TEN, (15, 16)),)),
    # Depth players: minutes each, and few look at them first.
    Spectra("resnet18/spectra-branch-early", "resnet18", BRANCH, (Part(ONE, (1, 2)),)),
)
BASELINES: tuple[Target, ...] = tuple(
    target
    for baseline in ("resnet18-untrained", "resnet18-shuffled")
    for target in (
        Rows(f"{baseline}/slices", baseline, SLICES, (Part(100),)),
        Rows(f"{baseline}/branch", baseline, BRANCH, (Part(20, (8,)), Part(100, quantity=NORMS))),
        Rows(f"{baseline}/block", baseline, BLOCK, (Part(20, quantity=NORMS),)),
    )
) + tuple(
    Rows(f"{network}-untrained/{convention}", f"{network}-untrained", convention, (Part(20, quantity=NORMS),))
    for network in ("resnet34", "resnet50")
    for convention in (BRANCH, BLOCK)
)
# Robustness is set beside stiffness and growth image by image.
WHOLE: tuple[Target, ...] = (
    Growth("resnet18/growth", "resnet18", 300, TEN),
    Growth("resnet18-untrained/growth", "resnet18-untrained", 20, ONE),
    Growth("resnet18-shuffled/growth", "resnet18-shuffled", 20, ONE),
    Robustness("resnet18/robustness", "resnet18", 1000),
    Growth("resnet34/growth", "resnet34", 50, ONE),
    Growth("resnet50/growth", "resnet50", 50, ONE),
    Robustness("resnet34/robustness", "resnet34", 100),
    Robustness("resnet50/robustness", "resnet50", 100),
)
RESNET20 = ("resnet20", "ResNet20, from its first step on")
RUNS: tuple[Target, ...] = (
    Training("resnet20/run-spectra", *RESNET20, BRANCH, ONE, (3, 6, 9), "spectrum"),
    Training("resnet20/run-slices", *RESNET20, SLICES, 100),
    Training("resnet20/run-branch", *RESNET20, BRANCH, 100, quantity="extremes"),
    Training("resnet20/run-block", *RESNET20, BLOCK, 100, (5, 6, 8, 9), "extremes"),
    Training("resnet20/run-block-early", *RESNET20, BLOCK, 10, (1, 2, 3), "extremes"),  # up to 12 s each
)
