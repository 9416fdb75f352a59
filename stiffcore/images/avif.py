"""The sizes of all pictures coded in an AVIF file, read from their own headers before anything is decoded. Imports no Pillow.

An AVIF states the size of its picture in a box, and each coded picture (colours, transparency, the tiles of a grid) states its own
size again in AV1's sequence header. A decoder believes the latter, so that a few kilobytes can cost a gigabyte: both are checked.

References: ISO/IEC 14496-12 (boxes), 23008-12 (items); AV1 specification, 5.3 to 5.5 (open bitstream units, sequence header).
"""

from collections.abc import Iterator

BRANDS = (b"avif", b"avis")
MOST_ITEMS = 600  # a large grid has 256 tiles, each perhaps with transparency
MOST_BYTES = 100 << 20  # of all items: equal tiles may share theirs
MOST_UNITS = 20_000  # open bitstream units in all items; a picture has about three
LAYERS = (b"a1lx", b"a1op", b"lsel")  # properties that choose a part of an item's bytes
SEQUENCE_HEADER = 1  # type of an open bitstream unit
FILE, ITEM_DATA = 0, 1  # where an item's bytes are
Box = tuple[bytes, int, int]  # type, first byte of the content, end


def is_avif(content: bytes) -> bool:
    """Whether a file says that it is an AVIF: other pictures (HEIC) have the same boxes."""
    if content[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(content[:4]), len(content), 200)
    return any(content[at : at + 4] in BRANDS for at in (8, *range(16, end - 3, 4)))


def is_sequence(content: bytes) -> bool:
    """Whether there is an animation beside the still picture. Raises ValueError for damaged boxes."""
    return any(kind == b"moov" for kind, _, _ in _boxes(content, 0, len(content)))


def as_still(content: bytes) -> bytes:
    """The same file with the main brand of a still picture: decoders then take the picture, and leave the animation."""
    return content[:8] + b"avif" + content[12:]


def coded_sizes(content: bytes) -> list[tuple[int, int]]:
    """(width, height) of every coded picture, in pixels: those of tiles, of transparency and of thumbnails, too.

    Raises ValueError for anything that the standards do not allow, and for items in layers or more items than pictures have.
    """
    (meta,) = _named(_boxes(content, 0, len(content)), b"meta")
    inside = list(_boxes(content, meta[1] + 4, meta[2]))
    if any(name in content[meta[1] : meta[2]] for name in LAYERS):
        raise ValueError("it has layers")
    coded = _coded_items(content, inside)
    sizes: list[tuple[int, int]] = []
    units = 0
    for item, pieces in _places(content, inside).items():
        if item not in coded:
            continue
        found = False
        for kind, unit in _units(b"".join(content[start:end] for start, end in pieces)):
            units += 1
            if units > MOST_UNITS:
                raise ValueError("it has far too many units")
            if kind == SEQUENCE_HEADER:
                sizes.append(_sequence_size(unit))
                found = True
        if not found:
            raise ValueError("a coded picture has no header")
    if not sizes:
        raise ValueError("it has no coded picture")
    return sizes


def _boxes(content: bytes, start: int, end: int) -> Iterator[Box]:
    while start < end:
        size, kind, header = int.from_bytes(content[start : start + 4]), content[start + 4 : start + 8], 8
        if size == 1:
            size, header = int.from_bytes(content[start + 8 : start + 16]), 16
        elif size == 0 and end == len(content):  # to the end of the file
            size = end - start
        if size < header or start + size > end:
            raise ValueError("a box is longer than its place")
        yield kind, start + header, start + size
        start += size


def _named(boxes: Iterator[Box] | list[Box], name: bytes) -> list[Box]:
    """The box of a name, in a list. Raises ValueError if there are several or none."""
    found = [box for box in boxes if box[0] == name]
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} boxes {name!r}")
    return found


class _Reader:
    """Unsigned big-endian numbers of a box, one after the other; sizes in bytes."""

    def __init__(self, content: bytes, start: int, end: int):
        self._content, self._at, self._end = content, start, end

    def __call__(self, size: int) -> int:
        start, self._at = self._at, self._at + size
        if self._at > self._end:
            raise ValueError("a box ends too early")
        return int.from_bytes(self._content[start : self._at])


def _coded_items(content: bytes, meta: list[Box]) -> set[int]:
    """The numbers of the items of type av01."""
    ((_, start, end),) = _named(meta, b"iinf")
    version = content[start]
    entries = list(_boxes(content, start + (6 if version == 0 else 8), end))
    if len(entries) > MOST_ITEMS:
        raise ValueError("it has far too many items")
    coded = set()
    for kind, at, stop in entries:
        read = _Reader(content, at, stop)
        if kind != b"infe" or (version := read(1)) not in (2, 3):
            raise ValueError("an item is described in an unknown way")
        read(3)
        number = read(2 if version == 2 else 4)
        read(2)
        if read(4).to_bytes(4) == b"av01":
            coded.add(number)
    return coded


def _places(content: bytes, meta: list[Box]) -> dict[int, list[tuple[int, int]]]:
    """Item -> the (start, end) of its pieces in the file."""
    ((_, start, end),) = _named(meta, b"iloc")
    read = _Reader(content, start, end)
    version = read(1)
    read(3)
    sizes = read(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_size = index_size if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    if version > 2 or not {offset_size, length_size, base_size, index_size} <= {0, 4, 8}:
        raise ValueError("its places are given in an unknown way")
    places: dict[int, list[tuple[int, int]]] = {}
    count = read(wide)
    if count > MOST_ITEMS:
        raise ValueError("it has far too many items")
    for _ in range(count):
        number = read(wide)
        low, high = _limits(content, meta, read(2) & 15 if version else FILE)
        read(2)
        base, pieces = read(base_size), places.setdefault(number, [])
        for _ in range(read(2)):
            read(index_size)
            first = low + base + read(offset_size)
            last = first + read(length_size)
            if not low <= first < last <= high or len(pieces) >= MOST_ITEMS:
                raise ValueError("an item lies outside the file")
            pieces.append((first, last))
    if sum(last - first for pieces in places.values() for first, last in pieces) > MOST_BYTES:
        raise ValueError("its items repeat the same bytes too often")
    return places


def _limits(content: bytes, meta: list[Box], where: int) -> tuple[int, int]:
    """The part of the file that an item's offsets count in."""
    if where == FILE:
        return 0, len(content)
    if where != ITEM_DATA:
        raise ValueError("an item is made of others")
    ((_, start, end),) = _named(meta, b"idat")
    return start, end


def _units(item: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of the open bitstream units of an item."""
    at = 0
    while at < len(item):
        header = item[at]
        at += 2 if header & 4 else 1  # with an extension
        size = len(item) - at
        if header & 2:
            size, at = _leb128(item, at)
        if header & 0x80 or size < 0 or at + size > len(item):
            raise ValueError("a unit is longer than its item")
        yield header >> 3 & 15, item[at : at + size]
        at += size


def _leb128(item: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, and the place after it."""
    value = 0
    for shift in range(0, 56, 7):
        if at >= len(item):
            break
        value |= (item[at] & 127) << shift
        at += 1
        if item[at - 1] < 128:
            return value, at
    raise ValueError("a unit's size does not end")


class _Bits:
    """Unsigned numbers of a unit, one after the other; sizes in bits."""

    def __init__(self, unit: bytes):
        self._value, self._left = int.from_bytes(unit), 8 * len(unit)

    def __call__(self, size: int = 1) -> int:
        self._left -= size
        if self._left < 0:
            raise ValueError("a header ends too early")
        return self._value >> self._left & (1 << size) - 1


def _sequence_size(unit: bytes) -> tuple[int, int]:
    """The largest frame that a sequence header announces: (width, height)."""
    bits = _Bits(unit[:1000])
    bits(4)  # profile, still picture
    if bits():  # reduced header
        bits(5)
    else:
        _skip_operating_points(bits)
    across, down = bits(4) + 1, bits(4) + 1
    return bits(across) + 1, bits(down) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0  # length of the delays in a decoder model; 0 without one
    if bits():  # timing
        bits(64)
        if bits():
            zeros = 0
            while not bits():
                zeros += 1
            bits(zeros)
        if bits():  # a decoder model
            delay = bits(5) + 1
            bits(42)
    has_initial_delay = bits()
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits()
        if delay and bits():
            bits(2 * delay + 1)
        if has_initial_delay and bits():
            bits(4)
