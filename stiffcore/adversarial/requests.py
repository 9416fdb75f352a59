"""What is asked for: how small a change of an image makes a network change a right prediction. Imports no torch.

Sizes are in grey levels of 0 … 255, on a grid of 1/8, measured by the largest change of any value (l∞). The perturbed values stay
within 0 … 255 and are not rounded to whole grey levels.

    fgsm_step    the smallest step k/8 for which x + (k/8) sign(∇ₓ L) is predicted otherwise. Success is not monotone in the
                 step, so every step of the grid is tried from below, up to LIMIT: nothing smaller on the grid succeeds.
    fgsm_whole   the smallest whole step that succeeds: the perturbed image is then an ordinary image.
    pgd_radius   projected gradient descent of PGD_STEPS steps of ε/8 from a seeded random start in the ball of radius ε, stopped
                 at the first changed prediction (Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR
                 2018). ε is bisected on the grid between 0 and fgsm_step, whose own perturbation counts as found: the attack
                 succeeds at pgd_radius and fails 1/8 below. It is not strictly monotone in ε either.

Both are upper bounds of the smallest perturbation that exists.
"""

from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache

ALGORITHM = 1  # raise it when equal requests would give other numbers
PER_LEVEL = 8  # steps of the grid in a grey level
LIMIT = 32  # grey levels: larger changes are not tried; as far as the Compare page's slider goes
PGD_STEPS = 20
PARTS = 64  # PGD moves on multiples of ε / 64, which float32 adds to a pixel without rounding
PGD_MOVE = 8  # of these parts in a step: 20 steps of ε/8 cross the ball, 2.5 ε, as in Madry et al.
SEED = 0  # of the random starts
HOW = "python -m stiffcore robustness"  # the command that computes it


def check(network: Network) -> Network:
    """The network itself. Raises CannotCompute without a head, for matrices, and where images are resized first."""
    title = network.title or network.name
    if not network.takes_images or len(network.classes) < 2:
        raise CannotCompute(
            f"Expected a network with a head, whose prediction can change, got {title} without one: choose another network."
        )
    if network.preprocessing.resizes:
        raise CannotCompute(
            f"Expected a network whose images are not resized, since the change is one of its input's pixels, got {title}: "
            "choose another network."
        )
    return network


def key(network: Network, image: Image) -> str:
    """The key of a stored result: a hash of everything that determines it."""
    return result_cache.key(
        {
            "what": "robustness",
            "algorithm": ALGORITHM,
            **network.key_fields(image),
            "label": network.label_of(image),
            "seed": SEED,
        }
    )
