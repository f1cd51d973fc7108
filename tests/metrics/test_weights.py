"""Published weights: from the cache or a file, checked, never fetched unasked."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def random_inception() -> nn.Module:
    """The published weights are not at hand."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nn.Module, "load_state_dict", lambda *_: None)
        return FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=empty)


def known(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let a file count as the published one."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, sha256=digest))


def test_inception_sees_bytes_and_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, path = random_inception(), tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    known(monkeypatch, path)
    look = Inception(path)
    look.prepare()
    pictures, before = torch.rand(2, 1, 40, 40) * 2 - 1, torch.get_rng_state()
    with torch.no_grad():
        expected = network(images.to_uint8(pictures).expand(-1, 3, -1, -1))[0]
        assert torch.equal(look(pictures), expected)
    assert expected.shape == (2, inception.FEATURES)
    # A model's noise must not depend on whether the network had been loaded before.
    assert torch.equal(before, torch.get_rng_state())


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "weights.pth"
    torch.save({"weight": Planted()}, path)
    known(monkeypatch, path)
    with pytest.raises(EnvironmentFault, match="more than tensors"):
        Inception(path)(torch.zeros(1, 3, 8, 8))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("backbone", ["alex", "squeeze", "vgg"])
def test_lpips_is_that_of_torchmetrics(backbone: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a backbone of random weights: the published ones are not at hand."""
    import torchvision
    from torchmetrics.functional.image.lpips import _LPIPS

    kind = lpips.BACKBONES[backbone]
    with torch.device("meta"):
        plain = getattr(torchvision.models, kind.model)(weights=None).features
    plain, rng = plain.to_empty(device="cpu"), torch.Generator().manual_seed(0)
    for weights in plain.parameters():
        nn.init.normal_(weights, std=0.05, generator=rng)
    with monkeypatch.context() as patched:
        patched.setattr("torchmetrics.functional.image.lpips._get_tv_model_features", lambda *_: plain)
        reference = _LPIPS(pretrained=True, net=backbone, pnet_rand=True)
    path = empty_cache / kind.weights.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save({f"features.{name}": tensor for name, tensor in plain.state_dict().items()}, path)
    published = replace(kind.weights, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setitem(lpips.BACKBONES, backbone, kind._replace(weights=published))
    image, truth = torch.rand(2, 3, 3, 66, 70, generator=torch.Generator().manual_seed(1)) * 2 - 1
    same, other, grey = Lpips(backbone), Lpips(backbone), Lpips(backbone, path)
    for start in (0, 2):
        same.update(truth[start : start + 2], truth[start : start + 2])
        other.update(image[start : start + 2], truth[start : start + 2])
    grey.update(image[:, :1], truth[:, :1])
    assert same.compute() == 0
    assert other.compute() == pytest.approx(float(reference(image, truth).mean()), rel=1e-5)
    one, two = (each[:, :1].expand(-1, 3, -1, -1) for each in (image, truth))
    assert grey.compute() == pytest.approx(float(reference(one, two).mean()), rel=1e-5)
