"""Augmentation: each change against a plain loop, per sample, on integers, from its generator."""

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn.augment import Augmentation


def _images(n_samples: int = 400) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(1, 255, (n_samples, 2, 5, 6))).to(torch.int32)


def _run(augmentation: Augmentation, x: torch.Tensor, seed: int = 0) -> np.ndarray:
    result = augmentation(x, torch.Generator().manual_seed(seed))
    assert result.dtype == x.dtype
    assert result.shape == x.shape
    return result.numpy()


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    _, height, width = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row + down < height and 0 <= column + right < width:
                result[:, row, column] = image[:, row + down, column + right]
    return result


def _zoomed(image: np.ndarray, top: int, left: int, crop: int) -> np.ndarray:
    _, height, width = image.shape
    rows = [top + row * (height - crop) // height for row in range(height)]
    columns = [left + column * (width - crop) // width for column in range(width)]
    return image[:, rows][:, :, columns]


def _which(result: np.ndarray, wanted: list[np.ndarray]) -> int:
    same = [number for number, image in enumerate(wanted) if np.array_equal(image, result)]
    assert len(same) == 1
    return same[0]


@pytest.mark.parametrize(
    ("augmentation", "choices"),
    [
        (
            Augmentation(shift=1),
            lambda x: [_shifted(x, d, r) for d in (-1, 0, 1) for r in (-1, 0, 1)],
        ),
        (Augmentation(flip=True), lambda x: [x, x[:, :, ::-1]]),
        (
            Augmentation(crop=2),
            lambda x: [_zoomed(x, t, s, 2) for t in (0, 1, 2) for s in (0, 1, 2)],
        ),
    ],
)
def test_each_sample_is_changed_in_one_of_the_ways_equally_often(augmentation, choices) -> None:
    x = _images()
    result = _run(augmentation, x)
    seen = [_which(result[n], choices(x[n].numpy())) for n in range(len(x))]
    counts = np.bincount(seen, minlength=len(choices(x[0].numpy())))
    assert counts.min() > 0.6 * len(x) / len(counts)


def test_all_together_moves_zeros_in_only_by_shift() -> None:
    x = _images()
    assert (_run(Augmentation(crop=2, flip=True), x) > 0).all()
    result = _run(Augmentation(shift=2, crop=2, flip=True), x)
    assert (result == 0).any()
    assert np.isin(result, [0, *np.unique(x.numpy())]).all()


def test_the_generator_decides_and_nothing_is_drawn_for_nothing() -> None:
    x = _images(20)
    augmentation = Augmentation(shift=1, flip=True)
    assert np.array_equal(_run(augmentation, x, 1), _run(augmentation, x, 1))
    assert not np.array_equal(_run(augmentation, x, 1), _run(augmentation, x, 2))
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert Augmentation()(x, generator) is x
    assert torch.equal(generator.get_state(), state)


def test_what_cannot_be_changed_is_refused() -> None:
    with pytest.raises(InputError, match=r"is for images, but the input has shape \(9,\)"):
        Augmentation(flip=True).check((9,))
    with pytest.raises(InputError, match=r"augmentation\.crop is 5; .* must be below 5"):
        Augmentation(crop=5).check((1, 5, 9))
    Augmentation().check((9,))
    Augmentation(shift=4, crop=4).check((1, 5, 9))
