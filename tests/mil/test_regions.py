import math

import pytest
import torch

from preop.mil import Bag, BagNetwork, RegionEncoder, Settings, make_head, train


@pytest.fixture
def encoder() -> RegionEncoder:
    torch.manual_seed(0)
    return RegionEncoder(5, width=8, places=4).eval()


def test_what_stands_in_empty_places_does_not_matter(encoder: RegionEncoder) -> None:
    tiles = torch.randn(3, 4, 5)
    present = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]]).bool()
    changed = torch.where(present[..., None], tiles, 100.0)
    assert torch.allclose(encoder(tiles, present), encoder(changed, present), atol=1e-5)


def test_the_place_of_a_tile_matters(encoder: RegionEncoder) -> None:
    tiles = torch.randn(1, 4, 5)
    present = torch.ones(1, 4).bool()
    assert not torch.allclose(encoder(tiles, present), encoder(tiles.flip(1), present), atol=1e-4)


def test_shares_of_tiles_add_up_to_their_region(encoder: RegionEncoder) -> None:
    present = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 0]]).bool()
    shares = encoder.weights(torch.randn(2, 4, 5), present).detach()
    assert shares.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert (shares[~present] == 0).all()
    assert shares[1, 2] == pytest.approx(1)


def test_bags_of_regions_are_learned() -> None:
    """A bag is positive if two tiles of a kind lie in one region; each kind alone is everywhere."""
    generator = torch.Generator().manual_seed(0)

    def bag(name: str, *, positive: bool) -> Bag:
        tiles = 0.1 * torch.randn(6, 4, 3, generator=generator)
        tiles[:3, 0, 0] += 2
        tiles[3:, 1, 1] += 2
        if positive:
            tiles[0, 2, 1] += 2
        return Bag(name, (tiles.half(), torch.ones(6, 4).bool()), *((1, math.inf) if positive else (0, 0)))

    bags = [bag(str(number), positive=number % 2 == 0) for number in range(60)]

    def make_network() -> BagNetwork:
        return BagNetwork(RegionEncoder(3, width=16, places=4, dropout=0), make_head("gated_attention", 16))

    settings = Settings(epochs=40, learning_rate=3e-3, instances_per_batch=48)
    network = train(make_network, bags[:40], settings, held_out=[], seed=0)
    logits = {}
    for numbers, _, reading in network.readings(bags[40:]):
        logits |= dict(zip(numbers, reading.logit.tolist(), strict=True))
    assert sum((logits[number] > 0) == (number % 2 == 0) for number in range(20)) >= 18
