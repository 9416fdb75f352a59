"""A card that is not there: tensors that say they are on ``cuda:0``, computed on the CPU, and a count of what is copied to and fro.

    with fake_card() as card:
        ...  # torch.zeros(3, device=card.device), x.to(card.device), state.to(card.device), torch.cuda.is_available()
    card.to_host, card.to_card, card.scalars

As with CUDA, a function of tensors on both sides raises RuntimeError, ``.numpy()`` raises TypeError, and memory that is not there raises
torch.OutOfMemoryError. Stricter than CUDA: indices must be on the card, too, and a part of a tensor on the card takes no values from
the host, since both are copies that nobody wrote down. What it cannot show: rounding, streams, and kernels that CUDA lacks.
It belongs to the thread that entered it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("cuda", 0)
NAME = "a card that is not there"
AS_NUMBERS = ("item", "__float__", "__int__", "__bool__", "__index__", "__complex__", "equal", "allclose")
MOVING = ("to", "cpu", "cuda", "copy_")
FROM_DATA = ("tensor", "as_tensor", "asarray")


@dataclass
class FakeCard:
    """What was copied: the shapes of tensors of more than one element, in order, and how many single numbers came to the host."""

    largest: float = math.inf  # bytes of one tensor
    device: torch.device = DEVICE
    to_host: list[tuple[int, ...]] = field(default_factory=list)
    to_card: list[tuple[int, ...]] = field(default_factory=list)
    host_bytes: int = 0
    card_bytes: int = 0
    scalars: int = 0

    def forget(self) -> None:
        """Counts from zero."""
        self.to_host, self.to_card = [], []
        self.host_bytes = self.card_bytes = self.scalars = 0

    def copied(self, x: Tensor, to_host: bool) -> None:
        if to_host and x.numel() <= 1:
            self.scalars += 1
        elif to_host:
            self.to_host.append(tuple(x.shape))
            self.host_bytes += x.numel() * x.element_size()
        else:
            self.to_card.append(tuple(x.shape))
            self.card_bytes += x.numel() * x.element_size()

    def wrapped(self, value: object) -> object:
        return tree_map_only(Tensor, self._tensor, value)

    def _tensor(self, x: Tensor) -> Tensor:
        if x.numel() * x.element_size() > self.largest:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {x.numel() * x.element_size()} bytes.")
        return x.as_subclass(OnCard)


class OnCard(Tensor):
    """A tensor on the card."""

    card: FakeCard | None = None  # the one that is entered

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _run(cls.card or FakeCard(), func, args, kwargs or {})


class _Mode(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _run(OnCard.card or FakeCard(), func, args, kwargs or {})


def _run(card: FakeCard, func: Callable, args: tuple, kwargs: dict) -> object:
    """One function of torch, on the side where its tensors are."""
    with torch._C.DisableTorchFunctionSubclass():
        name = getattr(func, "__name__", "")
        if name == "__get__" and (found := _told(func, args[0], card)) is not None:
            return found
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = [isinstance(x, OnCard) for x in tensors]
        if name in MOVING or name in FROM_DATA:
            return _moved(card, func, name, args, kwargs)
        wanted = _device_of(kwargs.get("device"))
        if wanted is not None:
            made = func(*args, **{**kwargs, "device": "cpu"})
            return card.wrapped(made) if wanted else made
        if not any(here):
            return func(*args, **kwargs)
        if name == "_has_compatible_shallow_copy_type":  # asked by Module.to
            return all(here)
        if any(x.ndim for x, on_card in zip(tensors, here, strict=True) if not on_card):
            shapes = [f"{tuple(x.shape)} on {'cuda:0' if on else 'cpu'}" for x, on in zip(tensors, here, strict=True)]
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {', '.join(shapes)}.")
        return _on_card(card, func, name, args, kwargs)


def _on_card(card: FakeCard, func: Callable, name: str, args: tuple, kwargs: dict) -> object:
    if name in ("numpy", "__array__"):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
    if name in AS_NUMBERS:
        card.scalars += 1
    if name == "tolist":
        card.copied(args[0], to_host=True)
    if isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    if name == "__deepcopy__":
        x, memo = args
        copied = memo.setdefault(id(x), card._tensor(x.detach().clone()))
        if isinstance(x, torch.nn.Parameter):
            copied._is_param = True  # what torch asks a subclass for
        return copied
    if name == "__iter__":
        return iter([card._tensor(x) for x in args[0].unbind(0)])
    return card.wrapped(func(*args, **kwargs))


def _told(func: Callable, x: Tensor, card: FakeCard) -> object:
    """What a tensor says about its place; None where something else is asked for."""
    on_card = isinstance(x, OnCard)
    if func == torch.Tensor.device.__get__ and on_card:
        return card.device
    if func == torch.Tensor.is_cuda.__get__:
        return on_card
    return not on_card if func == torch.Tensor.is_cpu.__get__ else None


def _moved(card: FakeCard, func: Callable, name: str, args: tuple, kwargs: dict) -> object:
    """Of the functions that copy from one side to the other."""
    x = args[0]
    before = isinstance(x, OnCard)
    if name == "copy_":
        source = args[1]
        if before != isinstance(source, OnCard):
            card.copied(source, to_host=not before)
        return card.wrapped(func(*args, **kwargs)) if before else func(*args, **kwargs)
    if name in ("cpu", "cuda"):
        after, made = name == "cuda", x.clone() if before != (name == "cuda") else x
    else:
        asked = [place for value in (*args[1:], kwargs.get("device")) if (place := _place(value)) is not None]
        after = asked[0] if asked else before
        rest = ["cpu" if _device_of(value) is not None else value for value in args[1:]]
        made = func(x, *rest, **({**kwargs, "device": "cpu"} if "device" in kwargs else kwargs))
        made = made.clone() if before != after and made is x else made
    if before != after:
        card.copied(made, to_host=before)
    return card.wrapped(made) if after else made.as_subclass(Tensor)


def _place(value: object) -> bool | None:
    """Whether a device, or a tensor, is on the card; None for anything else."""
    return isinstance(value, OnCard) if isinstance(value, Tensor) else _device_of(value)


def _device_of(value: object) -> bool | None:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return value.startswith("cuda") if isinstance(value, str) else None


@contextmanager
def fake_card(largest: float = math.inf, memory: int = 80 * 10**9) -> Iterator[FakeCard]:
    """The card, for this thread. largest: bytes of one tensor, beyond which there is no memory; memory: what it says it has."""
    card = FakeCard(largest)
    says = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda where=None: NAME,
        "mem_get_info": lambda where=None: (memory, memory),
        "get_device_properties": lambda where=None: SimpleNamespace(name=NAME, total_memory=memory, major=9, minor=0),
        "synchronize": lambda where=None: None,
        "empty_cache": lambda: None,
    }
    overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, value in says.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(OnCard, "card", card))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # else a module's parameters stay on the host
        stack.enter_context(_Mode())
        yield card
