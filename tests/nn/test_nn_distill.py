"""Distillation: the loss by hand, stored logits that are checked before they are believed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn.distill import distillation_loss, load_teacher_logits, save_teacher_logits

X = np.arange(12).reshape(6, 2)


def _teacher(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x.sum(1), -x[:, 0], x[:, 1] * 0], 1).float()


def test_the_loss_is_the_divergence_of_the_softened_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=generator) for _ in range(2))
    q, p = (torch.softmax(logits / 2.5, 1) for logits in (student, teacher))
    wanted = 2.5**2 * (p * (p / q).log()).sum(1).mean()
    assert distillation_loss(student, teacher, 2.5).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert distillation_loss(teacher, teacher, 2.5).item() == pytest.approx(0, abs=1e-6)


def test_gradient_flows_to_the_student_alone() -> None:
    student, teacher = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in "ab")
    assert torch.autograd.gradcheck(lambda s: distillation_loss(s, teacher, 3.0), (student,))
    distillation_loss(student, teacher, 3.0).backward()
    assert teacher.grad is None


def test_stored_logits_come_back(tmp_path: Path) -> None:
    save_teacher_logits(tmp_path / "t.npz", _teacher, X, batch_size=4)
    logits = load_teacher_logits("t.npz", [tmp_path / "none", tmp_path], X, 3)
    assert torch.equal(logits, _teacher(torch.from_numpy(X)))


def test_logits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    save_teacher_logits(path, _teacher, X)
    with pytest.raises(InputError, match="made for other training samples"):
        load_teacher_logits("t.npz", [tmp_path], X[::-1], 3)
    with pytest.raises(InputError, match=r"shape \(6, 3\), expected \(6, 4\)"):
        load_teacher_logits("t.npz", [tmp_path], X, 4)
    with pytest.raises(InputError, match=r"shape \(6, 3\), expected \(5, 3\)"):
        load_teacher_logits("t.npz", [tmp_path], X[:5], 3)
    with pytest.raises(InputError, match=r"no file 'u\.npz'; looked in"):
        load_teacher_logits("u.npz", [tmp_path], X, 3)
    np.savez(path, logits=np.full((6, 3), np.nan))
    with pytest.raises(InputError, match="not finite"):
        load_teacher_logits("t.npz", [tmp_path], X, 3)
    np.savez(path, logits=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"no \.npz file with an array 'logits'"):
        load_teacher_logits("t.npz", [tmp_path], X, 3)
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"no \.npz file with an array 'logits'"):
        load_teacher_logits("t.npz", [tmp_path], X, 3)
    with pytest.raises(InputError, match="the teacher: logits are not finite"):
        save_teacher_logits(path, lambda x: _teacher(x) / 0, X)


def test_a_teacher_gets_int32_like_in_training(tmp_path: Path) -> None:
    def teacher(x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.int32
        return x.float()

    save_teacher_logits(tmp_path / "t.npz", teacher, X.astype(np.uint8))
