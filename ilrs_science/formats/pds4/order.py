"""The byte order of reals in PDS4 data, where the label has it wrong: by which order makes them plausible.

GRAS labels the reference point in radar tables of Chang'e-4 big-endian like the position before it; it is
little-endian. As labelled its height is -3.5e18 m.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ilrs_science.formats.pds4.field import Field
from ilrs_science.formats.pds4.label import Label
from ilrs_science.formats.pds4.values import absent, constants_of, stand_ins

_SAMPLED = 4096
_HUGE, _TINY = 1e15, 1e-30
_LARGE, _SMALL = 1e9, 1e-6
_NEARLY_ALL, _HALF, _FIFTH = 0.99, 0.5, 0.2
_SEVERAL = 4


class Orders:
    """How plausible values of a real field are as they are labelled and in the other byte order.

    As labelled they are absurd where more than a fifth are no number, beyond 1e15 or closer to zero than 1e-30, and odd
    where most lie outside of 1e-6 to 1e9; the other order is plausible where 99 % are zero or within 1e-6 to 1e9. The
    exponent of swapped bytes is as good as random: of many values two fifths are absurd, four fifths odd, and only
    values that are few and equal can be plausible by chance.
    """

    def __init__(self, values: NDArray[Any], constants: Element | None) -> None:
        step = max(1, len(values) * max(1, values[:1].size) // _SAMPLED)
        labelled = np.ascontiguousarray(values[::step]).ravel()[:_SAMPLED]
        with np.errstate(all="ignore"):
            mask = absent(labelled, stand_ins(constants, labelled.dtype.newbyteorder("=")))
            labelled = labelled if mask is None else labelled[~mask]
            swapped = labelled.view(labelled.dtype.newbyteorder())
            self.labelled = np.abs(labelled[labelled != 0])
            usual = (np.abs(swapped) >= _SMALL) & (np.abs(swapped) <= _LARGE)
            self.plausible = bool(swapped.size) and float(np.mean(usual | (swapped == 0))) >= _NEARLY_ALL
        self.first = (float(labelled[0].real), float(swapped[0].real)) if labelled.size else (0.0, 0.0)

    @property
    def absurd(self) -> bool:
        """Whether values are absurd as labelled, and plausible in the other order."""
        return self._outside(_TINY, _HUGE) > _FIFTH

    @property
    def odd(self) -> bool:
        """Whether values are odd as labelled, and plausible in the other order."""
        return self._outside(_SMALL, _LARGE) > _HALF

    @property
    def zero(self) -> bool:
        """Whether both orders say the same."""
        return not self.labelled.size

    def _outside(self, low: float, high: float) -> float:
        """Return the share of values outside of a range as labelled; 0 where the other order is no better."""
        if not self.plausible or self.zero:
            return 0.0
        with np.errstate(all="ignore"):
            return float(np.mean(~((self.labelled >= low) & (self.labelled <= high))))


def swapped(label: Label, views: list[tuple[Field, NDArray[Any]]]) -> set[str]:
    """Return the real fields whose byte order is labelled wrongly, and tell the label.

    A block is fields that touch each other, have the same type, and the same first word in their names. Swapped are
    blocks that are plausible in the other order and as labelled absurd in a field, or odd in half of at least four; and
    next to a swapped field those of the same type that are odd as labelled.
    """
    real = [(one, values) for one, values in views if values.dtype.kind in "fc" and len(values)]
    orders = [Orders(values, constants_of(one.element)) for one, values in real]
    found: set[int] = set()
    for block in _blocks([one for one, _ in real]):
        odd, own = sum(orders[number].odd for number in block), [orders[number] for number in block]
        wrong = any(order.absurd for order in own) or (len(own) >= _SEVERAL and 2 * odd >= len(own))
        if wrong and all(order.plausible for order in own):
            found |= {number for number in block if not orders[number].zero}
    for seed in sorted(found):
        for step in (-1, 1):
            here = seed
            while 0 <= here + step < len(real) and _touch(real[here][0], real[here + step][0]):
                here += step
                if here in found or not (orders[here].odd or orders[here].zero):
                    break
                if orders[here].odd:
                    found.add(here)
    label.repaired += [told(real[number][0].name, real[number][0].kind, orders[number]) for number in sorted(found)]
    return {real[number][0].name for number in found}


def told(name: str, kind: str, orders: Orders) -> str:
    """Return the words in which a swap is told."""
    labelled, other = orders.first
    return f"{name}: labelled {kind}, read in the other byte order: {other:.8g} where the label makes it {labelled:.8g}"


def _blocks(fields: list[Field]) -> Iterator[list[int]]:
    block: list[int] = []
    for number, one in enumerate(fields):
        if block and not (_touch(fields[number - 1], one) and _word(fields[number - 1]) == _word(one)):
            yield block
            block = []
        block.append(number)
    if block:
        yield block


def _word(one: Field) -> str:
    """Return the first word of a name of several, else all of it."""
    first, mark, _ = one.name.partition("_")
    return first if mark else one.name


def _touch(one: Field, other: Field) -> bool:
    first, second = sorted((one, other), key=lambda field: field.start)
    return one.kind == other.kind and first.stop == second.start
