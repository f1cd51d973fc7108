"""Published weights: from the cache or a file, checked, never fetched unasked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ganforge import EnvironmentFault, images
from ganforge.builtin.metrics import Inception, Lpips, inception, lpips


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


@pytest.mark.parametrize("part", [Inception(), Lpips(), Lpips("vgg")], ids=["inception", "alex", "vgg"])
def test_missing_weights_are_told_with_their_place_and_their_source(part: Inception | Lpips, empty_cache: Path) -> None:
    with pytest.raises(EnvironmentFault) as told:
        part.prepare()
    assert str(empty_cache) in str(told.value)
    assert "https://" in str(told.value)
    assert "nothing is downloaded unasked" in str(told.value)
    with pytest.raises(EnvironmentFault):  # used without being prepared, too
        part(torch.zeros(1, 3, 8, 8)) if isinstance(part, Inception) else part.update(*torch.zeros(2, 1, 3, 64, 64))


def test_another_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(EnvironmentFault, match="its SHA-256 begins with"):
        Inception(tmp_path / "weights.pth").prepare()


def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.builtin.metrics.weights.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'ganforge\[metrics\]'"):
        Inception().prepare()


def test_inception_sees_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of random weights: the published ones are not at hand."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path / "weights.pth"
    torch.save({}, path)
    torch.manual_seed(0)
    with monkeypatch.context() as patched:
        patched.setattr(nn.Module, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, sha256=digest))
    look = Inception(path)
    look.prepare()
    pictures = torch.rand(2, 1, 40, 40) * 2 - 1
    with torch.no_grad():
        expected = network(images.to_uint8(pictures).expand(-1, 3, -1, -1))[0]
        assert torch.equal(look(pictures), expected)
    assert expected.shape == (2, inception.FEATURES)


def test_lpips_is_nothing_for_equal_pictures(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backbone of random weights: the published ones are not at hand."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    empty_cache.mkdir(parents=True)
    path = empty_cache / "alexnet-owt-7be5be79.pth"
    torch.save(alexnet(weights=None).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(lpips.WEIGHTS, "alex", replace(lpips.WEIGHTS["alex"], sha256=digest))
    rng = torch.Generator().manual_seed(1)
    truth = torch.rand(3, 1, 64, 64, generator=rng) * 2 - 1
    same, other = Lpips(), Lpips()
    same.update(truth, truth)
    other.update(truth.flip(-1), truth)
    assert same.compute() == pytest.approx(0, abs=1e-7)
    assert other.compute() > 1e-4
