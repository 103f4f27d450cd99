"""One clock period at a time, driven and sampled by one coroutine: no races, few awaits.

A cycle is: clock low and inputs changed; half a period later everything has settled and the
outputs are sampled, as the coming rising edge will see them; clock high; half a period.
"""

from __future__ import annotations

from typing import Any

from cocotb.triggers import Timer

__all__ = ["HALF_PERIOD", "Pin", "cycle"]

HALF_PERIOD = Timer(5000, "step")
"""Half a clock period: 5 ns at the wrapper's precision of 1 ps."""


class Pin:
    """An input of the device that is only written when it changes."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._value = -1

    def set(self, value: int) -> None:
        """Drive `value`; it stands when the next trigger fires."""
        if value != self._value:
            self._value = value
            self._handle.value = value


async def cycle(clk: Pin) -> None:
    """Finish a cycle: the rising edge, and the clock low again; inputs may change after it."""
    clk.set(1)
    await HALF_PERIOD
    clk.set(0)
