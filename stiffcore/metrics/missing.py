"""Why there is no number: a status that code asks for, and a text that people read."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """The kind of absence."""

    UNDEFINED = "undefined"  # there is no such number
    NOT_SQUARE = "not square"  # nor can there be one: the block has no eigenvalues
    NOT_COMPUTED = "not computed"  # there may be one; the text says what would compute it

    @property
    def word(self) -> str:
        """``undefined`` or ``not computed``: what stands in a table in place of the number."""
        return (Status.NOT_COMPUTED if self is Status.NOT_COMPUTED else Status.UNDEFINED).value


@dataclass(frozen=True)
class Missing:
    """A number that is not there. Stored, shipped and shown as its text, ``undefined: not square`` for example."""

    status: Status
    why: str = ""  # what follows the word in the text

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word

    @property
    def word(self) -> str:
        """What stands in a table in place of the number."""
        return self.status.word

    @property
    def is_undefined(self) -> bool:
        """Whether there is no such number, whatever is computed."""
        return self.status is not Status.NOT_COMPUTED

    @classmethod
    def read(cls, text: str) -> "Missing":
        """The inverse of ``str``, for stored results, shipped rows and JSON. Nothing else reads such a text.

        Raises ValueError for a text that begins with no status's word.
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
    """There is no such number, and this is why."""
    return Missing(Status.UNDEFINED, why)


def not_computed(why: str) -> Missing:
    """There may be such a number; ``why`` says what it takes."""
    return Missing(Status.NOT_COMPUTED, why)


def not_square(rows: int, columns: int) -> Missing:
    """Undefined, since a matrix of this shape has no eigenvalues."""
    return Missing(Status.NOT_SQUARE, f"{Status.NOT_SQUARE.value} ({rows} × {columns})")


def as_texts(reasons: dict[str, Missing]) -> dict[str, str]:
    """metric -> text, as headers, rows and JSON hold it."""
    return {name: str(missing) for name, missing in reasons.items()}


def from_texts(texts: dict[str, str]) -> dict[str, Missing]:
    """metric -> Missing, of what ``as_texts`` made. Raises ValueError for a text that begins with no status."""
    return {name: Missing.read(text) for name, text in texts.items()}
