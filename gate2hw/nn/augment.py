"""Random changes to training images, on integers, each sample by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gate2hw.errors import InputError

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """What is done to each image; nothing by default.

    `shift`: moved by up to so many pixels in rows and in columns, uniformly, 0 moving in; the
    same as padding by `shift` and cutting at random. `crop`: a window smaller by so many rows and
    columns, placed at random, enlarged again by repeating pixels. `flip`: mirrored left to right
    with probability one half. (Shorten and Khoshgoftaar, "A survey on image data augmentation",
    Journal of Big Data 6, 2019.) Values stay integers of the input, or 0.
    """

    shift: int = 0
    crop: int = 0
    flip: bool = False

    @property
    def is_active(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.shift or self.crop or self.flip)

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Raise InputError where inputs of this shape cannot be changed so."""
        if not self.is_active:
            return
        if len(input_shape) != 3:
            raise InputError(
                f"augmentation is for images, but the input has shape {input_shape}; leave out "
                "[augmentation]"
            )
        least = min(input_shape[1:])
        for name, value in (("shift", self.shift), ("crop", self.crop)):
            if value >= least:
                raise InputError(
                    f"augmentation.{name} is {value}; for images of {input_shape[1]} x "
                    f"{input_shape[2]} it must be below {least}"
                )

    def _source(self, n_samples: int, size: int, generator: torch.Generator) -> Tensor:
        """(N, size) int64: the row (or column) that each row comes from; may lie outside."""
        place = torch.arange(size).expand(n_samples, size)
        if self.crop:
            start = torch.randint(0, self.crop + 1, (n_samples, 1), generator=generator)
            place = start + place * (size - self.crop) // size
        if self.shift:
            move = torch.randint(-self.shift, self.shift + 1, (n_samples, 1), generator=generator)
            inside = torch.arange(size) + move
            moved = place.gather(1, inside.clamp(0, size - 1))
            place = torch.where((inside < 0) | (inside >= size), -1, moved)
        return place

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(N, C, H, W) integers to the same shape and dtype; numbers come from CPU `generator`."""
        if not self.is_active:
            return x
        n_samples, _, height, width = x.shape
        rows = self._source(n_samples, height, generator)
        columns = self._source(n_samples, width, generator)
        if self.flip:
            flipped = torch.rand(n_samples, 1, generator=generator) < 0.5
            columns = torch.where(flipped, columns.flip(1), columns)
        rows, columns = rows.to(x.device), columns.to(x.device)
        sample = torch.arange(n_samples, device=x.device)[:, None, None]
        row, column = rows.clamp(min=0)[:, :, None], columns.clamp(min=0)[:, None, :]
        picked = x.permute(0, 2, 3, 1)[sample, row, column].permute(0, 3, 1, 2)
        outside = ((rows < 0)[:, :, None] | (columns < 0)[:, None, :])[:, None]
        return picked.masked_fill(outside, 0)
