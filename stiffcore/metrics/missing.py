"""Why a number is missing: a status for code, and a text for people."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """The kind of missing value."""

    UNDEFINED = "undefined"  # no such number exists
    NOT_SQUARE = "not square"  # no such number can exist: the block has no eigenvalues
    NOT_COMPUTED = "not computed"  # the number may exist; the text says what would compute it

    @property
    def word(self) -> str:
        """``undefined`` or ``not computed``: what a table shows in place of the number."""
        return (Status.NOT_COMPUTED if self is Status.NOT_COMPUTED else Status.UNDEFINED).value


@dataclass(frozen=True)
class Missing:
    """A missing number. It is stored, shipped and shown as its text, ``undefined: not square`` for example."""

    status: Status
    why: str = ""  # follows the word in the text

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word

    @property
    def word(self) -> str:
        """What a table shows in place of the number."""
        return self.status.word

    @property
    def is_undefined(self) -> bool:
        """Whether no such number exists, whatever is computed."""
        return self.status is not Status.NOT_COMPUTED

    @classmethod
    def read(cls, text: str) -> "Missing":
        """The inverse of ``str``, for stored results, shipped rows and JSON. Nothing else parses such a text.

        Raises ValueError for a text that does not begin with the word of a status.
        """
        word, _, why = text.partition(": ")
        if word == Status.NOT_COMPUTED.word:
            return cls(Status.NOT_COMPUTED, why)
        if word != Status.UNDEFINED.word:
            words = f"{Status.UNDEFINED.word} or {Status.NOT_COMPUTED.word}"
            raise ValueError(f"Expected a text that begins with {words}, got {text!r}.")
        return cls(Status.NOT_SQUARE if why.startswith(Status.NOT_SQUARE.value) else Status.UNDEFINED, why)


NOT_SQUARE = Missing(Status.NOT_SQUARE, Status.NOT_SQUARE.value)
NOT_COMPUTED = Missing(Status.NOT_COMPUTED)


def undefined(why: str) -> Missing:
    """A number that does not exist, and why."""
    return Missing(Status.UNDEFINED, why)


def not_computed(why: str) -> Missing:
    """A number that may exist; ``why`` says what would compute it."""
    return Missing(Status.NOT_COMPUTED, why)


def not_square(rows: int, columns: int) -> Missing:
    """Undefined, because a matrix of this shape has no eigenvalues."""
    return Missing(Status.NOT_SQUARE, f"{Status.NOT_SQUARE.value} ({rows} × {columns})")


def as_texts(reasons: dict[str, Missing]) -> dict[str, str]:
    """metric -> text, as in headers, rows and JSON."""
    return {name: str(missing) for name, missing in reasons.items()}


def from_texts(texts: dict[str, str]) -> dict[str, Missing]:
    """The inverse of ``as_texts``. Raises ValueError for a text that does not begin with the word of a status."""
    return {name: Missing.read(text) for name, text in texts.items()}
