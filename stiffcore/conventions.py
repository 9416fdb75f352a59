"""The readings of "the eigenvalues of the Jacobian of a block"; see stiffcore/README.md.

Code that depends on the convention asks the object; no other file compares its name. To add a convention, add a member with
a value for every attribute.
"""

from enum import StrEnum

from stiffcore.errors import CannotCompute


class Convention(StrEnum):
    """A reading. It equals its name, so that keys, rows, JSON, URLs and parquet files contain only the name.

    ``Convention("branch")`` returns the member of a name. Raises CannotCompute for an unknown one.
    """

    title: str  # type: ignore[assignment]  # shown in the app; hides str.title, which nothing uses
    question: str  # the question that it answers
    of_a_matrix: str  # what it takes of a matrix A in place of J_F, shown in the app; empty if nothing
    question_of_a_matrix: str  # the question that it then answers
    has_matrix: bool  # J is one matrix, with n eigenvalues if it is square; else many slices
    has_skip: bool  # J contains the skip's Jacobian J_s
    masks_outputs: bool  # J contains D_out, which zeroes the rows of dead outputs
    is_right_hand_side: bool  # J = J_F of an ODE that forward Euler integrates with a step h
    has_baselines: bool  # has P of random entries on the same receptive field, and S without the skip
    counts_are_provable: bool  # M = I + K: spectra.certificate proves the number of Re λ < 0 without eigenvalues
    default_axes: str  # of the complex plane, one of figures.axes.AXES
    regions: tuple[str, ...]  # stability regions that apply to the eigenvalues: keys of stability_regions.TITLES
    default_regions: tuple[str, ...]  # regions drawn by default
    about_regions: str  # why no other region applies; empty if all apply

    SLICES = (
        "slices",
        {
            "title": "As published (slices)",
            "question": "What the paper's numbers are: the eigenvalues of every trailing height × width slice of the Jacobian "
            "tensor, each decomposed on its own.",
            "of_a_matrix": "",
            "question_of_a_matrix": "",
            "has_matrix": False,
            "has_skip": True,
            "masks_outputs": True,
            "is_right_hand_side": False,
            "has_baselines": True,
            "counts_are_provable": False,
            "default_axes": "arcsinh",  # most eigenvalues lie within hundredths of 0, the extremes at 1
            "regions": (),
            "default_regions": (),
            "about_regions": "No region under slices: a slice is a part of the Jacobian, and no step multiplies its "
            "eigenvalues.",
        },
    )
    BLOCK = (
        "block",
        {
            "title": "Whole block (block)",
            "question": "How does the block as a whole, skip and outer ReLU included, stretch and turn small changes of its input?",
            "of_a_matrix": "I + A (block)",
            "question_of_a_matrix": "How does I + A, a step of forward Euler for x′ = A x, stretch and turn a vector?",
            "has_matrix": True,
            "has_skip": True,
            "masks_outputs": True,
            "is_right_hand_side": False,
            "has_baselines": False,
            "counts_are_provable": True,
            "default_axes": "linear",
            "regions": ("unit-circle",),
            "default_regions": ("unit-circle",),
            "about_regions": "Only |λ| = 1 applies: the outer ReLU projects, and the regions of Euler and Runge–Kutta "
            "concern I + J_F.",
        },
    )
    BRANCH = (
        "branch",
        {
            "title": "ODE right-hand side (branch)",
            "question": "Read as an ODE x′ = F(x) that the network integrates by forward Euler at step 1: how stiff is F?",
            "of_a_matrix": "A (branch)",
            "question_of_a_matrix": "Read as the ODE x′ = A x: how stiff is it?",
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

    __repr__ = str.__repr__  # 'branch', as a request takes it, in snippets, logs and messages

    @classmethod
    def _missing_(cls, value: object) -> None:
        """Called for an unknown name, from an option, a link or a stored row. Raises CannotCompute."""
        raise CannotCompute(f"Expected a convention among {', '.join(cls)}, got {value!r}: choose one of them.")

    def check_matrix(self) -> None:
        """Raises CannotCompute if J is not one matrix: only a matrix has modes and norms."""
        if not self.has_matrix:
            others = " or ".join(convention for convention in Convention if convention.has_matrix)
            raise CannotCompute(f"Expected a convention with a matrix, got {self}: choose {others}.")
