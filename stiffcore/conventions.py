"""The readings of "the eigenvalues of the Jacobian of a block"; see stiffcore/README.md.

Everything that depends on the convention is asked of the object: no other file compares its name. A new convention is a new
member, which answers every question.
"""

from enum import StrEnum

from stiffcore.errors import CannotCompute


class Convention(StrEnum):
    """A reading. It equals its name, so that keys, rows, JSON, URLs and parquet hold the name alone.

    ``Convention("branch")`` gives the object of a name. Raises CannotCompute for an unknown one.
    """

    title: str  # type: ignore[assignment]  # as the app shows it; nobody asks a convention for str.title
    question: str  # the one that it answers
    has_matrix: bool  # J is one matrix, with n eigenvalues where it is square; else many slices
    has_skip: bool  # J contains the skip's Jacobian J_s
    masks_outputs: bool  # J contains D_out, which makes the rows of dead outputs zero
    is_right_hand_side: bool  # J = J_F of an ODE, which forward Euler integrates: it has a step h
    has_baselines: bool  # there is a P of random entries on the same receptive field, and an S without the skip
    counts_are_provable: bool  # spectra.certificate can prove how many Re λ < 0 without computing any: M = I + K
    default_axes: str  # of the complex plane, one of figures.axes.AXES
    regions: tuple[str, ...]  # stability regions that concern the eigenvalues: names of stability_regions.TITLES
    default_regions: tuple[str, ...]  # those that are drawn where none are named
    about_regions: str  # why there are no more of them; empty where all concern it

    SLICES = (
        "slices",
        {
            "title": "As published (slices)",
            "question": "What the paper's numbers are: the eigenvalues of every trailing height × width slice of the Jacobian "
            "tensor, each decomposed on its own.",
            "has_matrix": False,
            "has_skip": True,
            "masks_outputs": True,
            "is_right_hand_side": False,
            "has_baselines": True,
            "counts_are_provable": False,
            "default_axes": "arcsinh",  # the eigenvalues lie within hundredths of 0, their extremes at 1
            "regions": (),
            "default_regions": (),
            "about_regions": "No region under slices: their eigenvalues are those of parts of the Jacobian, which no step "
            "multiplies.",
        },
    )
    BLOCK = (
        "block",
        {
            "title": "Whole block (block)",
            "question": "How does the block as a whole, skip and outer ReLU included, stretch and turn small changes of its input?",
            "has_matrix": True,
            "has_skip": True,
            "masks_outputs": True,
            "is_right_hand_side": False,
            "has_baselines": False,
            "counts_are_provable": True,
            "default_axes": "linear",
            "regions": ("unit-circle",),
            "default_regions": ("unit-circle",),
            "about_regions": "Only |λ| = 1 belongs here: the outer ReLU projects, and the regions of Euler and Runge–Kutta "
            "concern I + J_F.",
        },
    )
    BRANCH = (
        "branch",
        {
            "title": "ODE right-hand side (branch)",
            "question": "Read as an ODE x′ = F(x) that the network integrates by forward Euler at step 1: how stiff is F?",
            "has_matrix": True,
            "has_skip": False,
            "masks_outputs": False,
            "is_right_hand_side": True,
            "has_baselines": False,
            "counts_are_provable": False,
            "default_axes": "linear",
            "regions": ("forward-euler", "rk4", "backward-euler", "unit-circle"),
            "default_regions": ("forward-euler",),
            "about_regions": "",
        },
    )

    def __new__(cls, name: str, answers: dict[str, object] | None = None) -> "Convention":
        member = str.__new__(cls, name)
        member._value_ = name
        member.__dict__.update(answers or {})
        return member

    __repr__ = str.__repr__  # 'branch', as a request takes it: snippets, logs and messages show the name

    @classmethod
    def _missing_(cls, value: object) -> None:
        """``Convention(name)`` is the door for a name from outside: an option, a link, a stored row."""
        raise CannotCompute(f"Expected a convention among {', '.join(cls)}, got {value!r}: choose one of them.")

    def check_matrix(self) -> None:
        """Raises CannotCompute where there is no one matrix, which has modes and norms of its own."""
        if not self.has_matrix:
            others = " or ".join(one for one in Convention if one.has_matrix)
            raise CannotCompute(f"Expected a convention with a matrix, got {self}: choose {others}.")
