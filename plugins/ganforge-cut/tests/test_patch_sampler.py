import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import check_network
from ganforge_cut.patch_sampler import LazyProjection, PatchSampler

MAPS = [(2, 3, 10, 12), (2, 5, 4, 4)]


def maps() -> list[Tensor]:
    return [torch.randn(shape) for shape in MAPS]


def test_it_is_a_network() -> None:
    # Parameters without a shape cannot be made of fake tensors; `ganforge check` builds such networks for real.
    check_network(PatchSampler, MAPS, MAPS, skip=("fake",), layers=2, patches=6, channels=4)


def test_both_sides_are_seen_at_the_same_places() -> None:
    """Maps that hold their own coordinates tell which places were drawn."""
    sampler = PatchSampler(layers=1, patches=30, channels=8)
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(7.0), indexing="ij")
    places = torch.stack([rows, columns])[None] + 1
    seen: list[Tensor] = []
    sampler.heads[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sampler([places.repeat(2, 1, 1, 1)], [-places.repeat(2, 1, 1, 1)])
    query, key = seen
    assert query.shape == (2, 30, 2)
    assert torch.equal(query, -key)
    assert torch.equal(query[0], query[1])  # pictures share the places
    assert len(query[0].unique(dim=0)) == 30  # drawn without repetition
    sampler([places], [places])
    assert not torch.equal(seen[-1][0], query[0])


def test_a_small_map_gives_all_its_places_once() -> None:
    sampler = PatchSampler(layers=1, patches=256, channels=8)
    feature = torch.randn(1, 3, 4, 5)
    seen: list[Tensor] = []
    sampler.heads[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert sampler([feature], [feature]).query[0].shape == (1, 20, 8)
    assert torch.equal(seen[0][0].sort(dim=0).values, feature[0].flatten(1).T.sort(dim=0).values)


def test_patches_are_what_the_paper_says() -> None:
    sampler = PatchSampler(layers=2, patches=6, channels=16, init_gain=1.0).double()
    query, key = ([m.double() for m in maps()] for _ in range(2))
    sampler(query, key)
    torch.manual_seed(3)
    patches = sampler(query, key)
    torch.manual_seed(3)
    for number, head in enumerate(sampler.heads):
        first, _, last = head
        places = torch.randperm(query[number][0, 0].numel())[:6]
        for ours, feature in ((patches.query, query[number]), (patches.key, key[number])):
            at_places = feature.flatten(2)[:, :, places].permute(0, 2, 1)
            hidden = (at_places @ first.weight.T + first.bias).clamp(min=0)
            expected = F.normalize(hidden @ last.weight.T + last.bias, dim=-1)
            torch.testing.assert_close(ours[number], expected, rtol=1e-6, atol=0)
            torch.testing.assert_close(ours[number].norm(dim=2), torch.ones(2, 6).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("init", ["xavier", "normal"])
def test_lazily_created_weights_start_as_in_the_reference(init: str) -> None:
    sampler = PatchSampler(layers=1, channels=256, init=init)
    feature = torch.randn(1, 128, 4, 4)
    sampler([feature], [feature])
    (first, _, last) = sampler.heads[0]
    assert type(first) is nn.Linear
    expected = {"xavier": (0.02 * (2 / 384) ** 0.5, 0.02 * (2 / 512) ** 0.5), "normal": (0.02, 0.02)}[init]
    assert (first.weight.std().item(), last.weight.std().item()) == pytest.approx(expected, rel=0.02)
    assert not first.bias.any()
    assert not last.bias.any()


def test_weights_that_were_loaded_are_not_drawn_anew() -> None:
    trained = LazyProjection(4, "xavier", 0.02)
    trained(torch.zeros(1, 3))
    fresh = LazyProjection(4, "xavier", 0.02)
    fresh.load_state_dict(trained.state_dict())
    fresh(torch.zeros(1, 3))
    assert torch.equal(fresh.weight, trained.weight)


def test_a_vector_of_zeros_gives_finite_gradients() -> None:
    sampler = PatchSampler(layers=1, channels=4)
    feature = torch.zeros(1, 3, 2, 2, requires_grad=True)
    patches = sampler([feature], [feature])
    patches.query[0].sum().backward()
    assert not patches.query[0].any()
    assert feature.grad is not None
    assert torch.isfinite(feature.grad).all()


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="it has heads for 5 feature maps, and was given 2 and 2: set its 'layers'"):
        PatchSampler()(maps(), maps())
    with pytest.raises(ValueError, match=r"query \[2, 3, 10, 12\] and key \[2, 3, 5, 6\] differ in shape"):
        PatchSampler(layers=1)([torch.zeros(MAPS[0])], [torch.zeros(2, 3, 5, 6)])
