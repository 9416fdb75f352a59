"""AVIF files built by hand: boxes and AV1 sequence headers that claim any size, with no picture behind them."""

from collections.abc import Sequence


class Bits:
    """Numbers as bits, the highest first; a unit ends with a 1 and zeros."""

    def __init__(self):
        self._text = ""

    def add(self, value: int, size: int) -> "Bits":
        self._text += f"{value:0{size}b}" if size else ""
        return self

    def closed(self) -> bytes:
        text = self._text + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8)


def sequence_header(width: int, height: int, reduced: bool = True, timing: bool = False) -> bytes:
    """An open bitstream unit. timing: with a decoder model, two operating points and delays."""
    bits = Bits().add(0, 3).add(1, 1).add(int(reduced), 1)
    if reduced:
        bits.add(9, 5)
    else:
        bits.add(int(timing), 1)
        if timing:
            bits.add(1, 32).add(30, 32).add(1, 1).add(0b00100, 5)  # equal intervals of 4 ticks, in Golomb's code
            bits.add(1, 1).add(9, 5).add(1, 32).add(3, 5).add(3, 5)  # delays of 10 bits
        bits.add(int(timing), 1).add(1 if timing else 0, 5)
        for _ in range(2 if timing else 1):
            bits.add(0, 12).add(9 if timing else 5, 5)
            if timing:
                bits.add(0, 1).add(1, 1).add(77, 10).add(78, 10).add(0, 1).add(1, 1).add(3, 4)
    across, down = (width - 1).bit_length() or 1, (height - 1).bit_length() or 1
    bits.add(across - 1, 4).add(down - 1, 4).add(width - 1, across).add(height - 1, down).add(0, 12)
    return unit(1, bits.closed())


def unit(kind: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([kind << 3 | 2]) + length + bytes([size]) + content


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4) + kind + content


def avif(
    items: Sequence[bytes], claimed: tuple[int, int] = (64, 64), properties: bytes = b"", in_box: bool = False
) -> bytes:
    """A file of coded items; the picture box claims a size of its own. in_box: the items lie in the box of metadata."""
    begin = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    entries = b"".join(
        box(b"infe", b"\2\0\0\0", (1 + at).to_bytes(2), bytes(2), b"av01", b"\0") for at in range(len(items))
    )
    size = box(b"ispe", bytes(4), claimed[0].to_bytes(4), claimed[1].to_bytes(4))

    def meta(first: int) -> bytes:
        places, at = b"", first
        for number, item in enumerate(items, 1):
            places += number.to_bytes(2) + (b"\0\1" if in_box else b"") + bytes(2) + b"\0\1"
            places += at.to_bytes(4) + len(item).to_bytes(4)
            at += len(item)
        version = b"\1\0\0\0" if in_box else bytes(4)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), b"\0\1"),
            box(b"iloc", version, b"\x44\0", len(items).to_bytes(2), places),
            box(b"iinf", bytes(4), len(items).to_bytes(2), entries),
            box(b"iprp", box(b"ipco", size, properties)),
            box(b"idat", *items) if in_box else b"",
        )

    if in_box:
        return begin + meta(0)
    return begin + meta(len(begin) + len(meta(0)) + 8) + box(b"mdat", *items)
