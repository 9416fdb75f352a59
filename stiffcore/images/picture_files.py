"""Files of pictures by their names: several at once, folders and patterns; stored like uploads to the app. Imports no torch."""

import glob
import os.path
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.images import decode, forms, registry, uploaded
from stiffcore.images.image import Image
from stiffcore.progress import Progress, silent

NAMED = 5  # skipped entries of folders whose names are told
SPECIAL = "*?["  # characters of a pattern
KINDS = (  # of what is no file
    (stat.S_ISDIR, "a folder", "name a file in it"),
    (stat.S_ISFIFO, "a pipe", "save the picture to a file"),
    (stat.S_ISSOCK, "a socket", "save the picture to a file"),
    (stat.S_ISCHR, "a device", "name a file"),
    (stat.S_ISBLK, "a device", "name a file"),
)


@dataclass(frozen=True)
class Found:
    """files: in the order in which they were named; those of a folder or pattern by name. skipped: a folder's other files."""

    files: tuple[Path, ...]
    skipped: tuple[Path, ...] = ()


def content_of(path: Path) -> bytes:
    """A file's bytes; its kind and size are checked first. Raises CannotCompute, also for folders, pipes and devices."""
    try:
        status = path.stat()
        for is_kind, name, what_to_do in KINDS:
            if is_kind(status.st_mode):  # opening a pipe would wait for its writer
                raise CannotCompute(f"Expected a picture in {path}, got {name}: {what_to_do}.")
        if status.st_size > forms.LARGEST_FILE:
            raise forms.refused(f"one of {status.st_size / 2**20:.0f} MB", "make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise CannotCompute(f"Expected a picture in {path}, got {error.strerror}: name another file.") from error


def found(named: Sequence[str], at_most: int) -> Found:
    """The files behind names of files, folders, and patterns like ``photos/*.png`` (``**`` for folders at any depth).

    A folder stands for the pictures in it, by their endings. Raises CannotCompute for a folder or pattern without pictures and
    for more than ``at_most`` files.
    """
    files: dict[Path, None] = {}
    skipped: list[Path] = []
    for text in named:
        path = Path(text).expanduser()
        if os.path.isdir(path):  # unlike Path.is_dir, False where it must not be looked at
            pictures, others = _in_folder(path)
            skipped += others
        elif not os.path.exists(path) and any(sign in text for sign in SPECIAL):
            pictures = _matching(path, at_most + 1)
        else:
            pictures = [path]
        files |= dict.fromkeys(pictures)
        if len(files) > at_most:
            raise CannotCompute(f"Expected up to {at_most} pictures, got more ({text} is one too many): name fewer.")
    return Found(tuple(files), tuple(skipped))


def _in_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures of a folder, and its other files, by name."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise CannotCompute(
            f"Expected a folder of pictures in {folder}, got {error.strerror}: name another."
        ) from error
    pictures = [path for path in inside if path.suffix.lower() in forms.SUFFIXES and not os.path.isdir(path)]
    if not pictures:
        deeper = f" or a pattern like {folder}/**/*.png" if any(map(os.path.isdir, inside)) else ""
        raise CannotCompute(
            f"Expected {forms.NAMES} pictures in the folder {folder}, got none among its {len(inside):,} entries: name a folder "
            f"that holds them{deeper}."
        )
    return pictures, [path for path in inside if path not in pictures]


def _matching(pattern: Path, at_most: int) -> list[Path]:
    """The files that a pattern matches, by name; so many at most."""
    matches = (name for name in glob.iglob(str(pattern), recursive=True) if not os.path.isdir(name))
    files = sorted(map(Path, islice(matches, at_most)))
    if not files:
        raise CannotCompute(f"Expected pictures under {pattern}, got no file of such a name: check the pattern.")
    return files


def registered(
    named: Sequence[str], say: Callable[[str], None], progress: Progress = silent
) -> tuple[list[Image], int]:
    """The images of files, folders and patterns, each once, in their order; and how many files were refused.

    say: is told what each file became or why it is refused, and what was skipped. Raises CannotCompute if no image remains.
    """
    at_hand = found(named, uploaded.MOST)
    if at_hand.skipped:
        names = ", ".join(path.name for path in at_hand.skipped[:NAMED]) + (
            ", …" if len(at_hand.skipped) > NAMED else ""
        )
        say(f"Skipped, since their names are not those of pictures: {names} ({len(at_hand.skipped):,} in all).")
    numbers: dict[int, str] = {}
    refusals: list[str] = []
    for done, path in enumerate(at_hand.files):
        progress(done, len(at_hand.files), "reading pictures")
        try:
            picture = decode.picture(content_of(path))
        except CannotCompute as error:
            refusals.append(_named(path, error))
            continue
        number = uploaded.register(picture.pixels, {"name": path.name})
        same = f", with the same pixels as {numbers[number]}" if number in numbers else ""
        say(" ".join((f"{path.name} is image {number}{same}.", *picture.notes)))
        numbers.setdefault(number, path.name)
    if notice := uploaded.notice():
        say(notice)
    _tell(refusals, say, bool(numbers))
    return [registry.find(number) for number in numbers], len(refusals)


def _named(path: Path, error: CannotCompute) -> str:
    """The sentence of a refusal, with the file's name."""
    sentence = str(error)
    return sentence if path.name in sentence else f"{path.name}: {sentence}"


def _tell(refusals: list[str], say: Callable[[str], None], some_remain: bool) -> None:
    """Raises CannotCompute if no image remains."""
    if len(refusals) == 1 and not some_remain:
        raise CannotCompute(*refusals)
    for sentence in refusals:
        say(sentence)
    if not some_remain:
        raise CannotCompute(f"None of the {len(refusals)} files is a picture that can be used: name others.")
