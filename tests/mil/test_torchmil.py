"""The same numbers as torchmil, given the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preop.mil import Reading, make_head
from preop.mil.heads import ClamHead, Head

models = pytest.importorskip("torchmil.models")

FEATURES, HIDDEN = 12, 16


def given_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Every weight of the module, none left over."""
    module.load_state_dict(dict(weights))


def linear(ours: str, theirs: str, weights: Mapping[str, Tensor], *, bias: bool = True) -> dict[str, Tensor]:
    parts = ("weight", "bias") if bias else ("weight",)
    return {f"{theirs}.{part}": weights[f"{ours}.{part}"] for part in parts}


def bags(sizes: tuple[int, ...] = (9, 4, 7)) -> tuple[Tensor, Tensor]:
    mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    return torch.randn(len(sizes), max(sizes), FEATURES, generator=torch.Generator().manual_seed(4)), mask


def attention_weights(weights: Mapping[str, Tensor], *, gated: bool) -> dict[str, Tensor]:
    return {
        **linear("weights.content", "pool.fc1.module", weights),
        **linear("weights.score", "pool.fc2", weights, bias=False),
        **(linear("weights.gate", "pool.fc_gated.module", weights) if gated else {}),
        **linear("classifier", "classifier.module", weights),
    }


@pytest.mark.parametrize("gated", [False, True])
def test_attention(gated: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    head = make_head("gated_attention" if gated else "attention", FEATURES, hidden=HIDDEN)
    theirs = models.ABMIL((FEATURES,), att_dim=HIDDEN, gated=gated)
    given_weights(theirs, attention_weights(head.state_dict(), gated=gated))
    features, mask = bags()
    reading = head(features, mask)
    logit, scores = theirs(features, mask, return_att=True)
    torch.testing.assert_close(reading.logit, logit)
    expected = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=1)
    torch.testing.assert_close(reading.attention, expected)


def clam(most: int) -> tuple[ClamHead, Any]:
    head = make_head("clam_sb", FEATURES, hidden=HIDDEN, most=most)
    assert isinstance(head, ClamHead)
    theirs = models.CLAM_SB((FEATURES,), att_dim=HIDDEN, gated=True, k_sample=most)
    weights = head.state_dict()
    clusters = [linear(f"clusters.{n}", f"inst_classifiers.{n}.module", weights) for n in range(2)]
    given_weights(theirs, attention_weights(weights, gated=True) | clusters[0] | clusters[1])
    return head, theirs


def smooth_top_1(scores: Tensor, classes: Tensor) -> Tensor:
    """What Berrada 2018 (equation 6, k = 1, margin and temperature 1) gives for instances (n, 2) of classes (n, 1)."""
    classes = classes.long()
    margins = (torch.arange(2) != classes).float()
    return torch.logsumexp(scores + margins - scores.gather(1, classes), dim=1).mean()


@pytest.mark.parametrize("most", [2, 20])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_clam(most: int, label: float) -> None:
    """With the loss of single instances from the paper: torchmil's takes each instance against the classes of all."""
    head, theirs = clam(most)
    theirs.inst_loss_fn.forward = smooth_top_1
    features, mask = bags()
    reading = head(features, mask)
    logit, scores = theirs(features, mask, return_att=True)
    torch.testing.assert_close(reading.logit, logit)
    labels = torch.full((3,), label)
    expected = theirs.compute_inst_loss(scores, features, labels, mask)
    torch.testing.assert_close(head.clustering_loss(reading, labels, labels).sum(), expected)


def test_dsmil() -> None:
    """Without padding: torchmil looks for the highest instance among padded ones too."""
    head = make_head("dsmil", FEATURES, hidden=HIDDEN)
    theirs = models.DSMIL((FEATURES,), att_dim=HIDDEN, nonlinear_q=True, nonlinear_v=False)
    weights = head.state_dict()
    given_weights(
        theirs,
        {
            **linear("instance_classifier", "inst_classifier", weights),
            **linear("bag_classifier", "bag_classifier", weights),
            **linear("query.0", "q_nn.0", weights),
            **linear("query.2", "q_nn.2", weights),
        },
    )
    features, mask = bags((9, 9, 9))
    reading = head(features, mask)
    logit, scores = theirs.predict(features, mask, return_inst_pred=True)
    torch.testing.assert_close(reading.logit, logit)
    torch.testing.assert_close(reading.logits, scores)
    _, losses = theirs.compute_loss(torch.ones(3), features, mask)
    torch.testing.assert_close(head.loss(reading, torch.ones(3), torch.ones(3)).mean(), sum(losses.values()) / 2)


@pytest.mark.parametrize(("size", "landmarks"), [(49, 10), (45, 10), (64, 6)])
def test_transmil(size: int, landmarks: int) -> None:
    """One bag, one attention head: torchmil scales its pseudo-inverse by the largest norm of all bags and heads.

    49 instances and the class token are a multiple of 10, so that nothing is filled up; 45 are laid out on 7 x 7; 64 and
    the token are filled up with one.
    """
    head = make_head("transmil", FEATURES, hidden=HIDDEN, attention_heads=1, landmarks=landmarks, positions=True)
    theirs = models.TransMIL((FEATURES,), att_dim=HIDDEN, n_heads=1, n_landmarks=landmarks)
    own = head.state_dict()
    weights = {
        "cls_token": own["class_token"][None],
        **linear("embedding", "fc1", own),
        **linear("norm", "norm", own),
        **linear("classifier", "classifier", own),
    }
    for ours, name in enumerate(("proj", "proj1", "proj2")):
        weights |= linear(f"places.convolutions.{ours}", f"pos_layer.{name}", own)
    for layer in range(2):
        weights |= linear(f"layers.{layer}.norm", f"layers.{layer}.norm1", own)
        weights |= linear(f"layers.{layer}.projections", f"layers.{layer}.att_module.qkv_nn", own, bias=False)
    unused = {name: tensor for name, tensor in theirs.state_dict().items() if "norm2" in name}
    given_weights(theirs, weights | unused)
    features, mask = bags((size,))
    reading = head(features, mask)
    logit, attention = theirs(features, return_att=True)
    torch.testing.assert_close(reading.logit, logit, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reading.contributions, attention, rtol=1e-3, atol=1e-5)


def test_the_landmarks_stand_for_exact_attention_when_there_are_enough() -> None:
    few, all_tokens = (transmil(landmarks) for landmarks in (25, 64))
    few.load_state_dict(all_tokens.state_dict())
    readings: list[Reading] = [head(*bags((24,))) for head in (few, all_tokens)]
    torch.testing.assert_close(readings[0].logit, readings[1].logit)


def transmil(landmarks: int) -> Head:
    return make_head("transmil", FEATURES, hidden=HIDDEN, landmarks=landmarks)
