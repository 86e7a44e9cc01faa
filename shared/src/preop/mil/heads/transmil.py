"""TransMIL: instances that look at each other (Shao 2021, arXiv 2106.00908)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from preop.mil.heads.base import Head, Reading


class TransmilHead(Head):
    """A class token and the instances pass two transformer layers with Nystrom attention; the token is classified.

    Without ``positions`` the instances are first put into an order of their own, by the sum of their features: what
    depends on the order afterwards (the landmarks of Nystrom attention are means of neighbours) does not depend on the
    order they came in. With ``positions`` they are laid out on a square, row by row in the order they came in, the
    first ones again in the last places, and convolutions between the layers tell them their places (PPEG in the
    paper): the order counts then, which suits tiles in reading order and nothing else.

    Bags go through one by one, as the squares differ.

    Contributions: attention of the class token to each instance in the last layer, mean over heads. They tell where the
    head looked, not in which direction it was moved, and do not add up to ``logit``.

    Parameters
    ----------
    hidden
        Size of tokens, a multiple of ``attention_heads``.
    landmarks
        Of Nystrom attention; up to as many tokens attend to each other exactly.
    """

    name = "transmil"

    def __init__(
        self, features: int, hidden: int = 64, attention_heads: int = 4, landmarks: int = 32, *, positions: bool = False
    ) -> None:
        super().__init__(
            features, hidden=hidden, attention_heads=attention_heads, landmarks=landmarks, positions=positions
        )
        self.embedding = nn.Linear(features, hidden)
        self.class_token = nn.Parameter(torch.randn(1, hidden))
        self.layers = nn.ModuleList([NystromLayer(hidden, attention_heads, landmarks) for _ in range(2)])
        self.places = Places(hidden) if positions else None
        self.norm = nn.LayerNorm(hidden)
        self.classifier = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`."""
        logits = []
        attention = torch.zeros_like(mask, dtype=features.dtype)
        for number, real in enumerate(mask):
            rows = real.nonzero()[:, 0]
            if self.places is None:
                rows = rows[features[number, rows].sum(dim=1).argsort()]
            logit, weights = self._read(features[number, rows])
            logits.append(logit)
            attention[number, rows] = weights
        return Reading(torch.cat(logits), attention, mask)

    def _read(self, instances: Tensor) -> tuple[Tensor, Tensor]:
        """Log odds (1,) of one bag of instances (n, f), and the attention of the class token to each (n,)."""
        count = len(instances)
        tokens = self.embedding(instances)
        side = math.ceil(math.sqrt(count))
        if self.places is not None:
            tokens = torch.cat([tokens, tokens[: side * side - count]])
        tokens = self.layers[0](torch.cat([self.class_token, tokens]))[0]
        if self.places is not None and count:
            tokens = torch.cat([tokens[:1], self.places(tokens[1:], side)])
        tokens, attention = self.layers[1](tokens)
        return self.classifier(self.norm(tokens[0])), attention[1 : count + 1]

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]


class NystromLayer(nn.Module):
    """Layer norm, then self-attention by landmarks (Xiong 2021, arXiv 2102.03902), added to the input.

    Tokens are filled up in front with zeros to a multiple of the landmarks, each of which is the mean of neighbours.
    """

    def __init__(self, hidden: int, attention_heads: int, landmarks: int) -> None:
        super().__init__()
        self.attention_heads, self.landmarks = attention_heads, landmarks
        self.norm = nn.LayerNorm(hidden)
        self.projections = nn.Linear(hidden, 3 * hidden, bias=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give tokens (t, h) after the layer, and the attention of the first of them to all (t,)."""
        count = len(tokens)
        normed = self.norm(tokens)
        if count > self.landmarks:
            normed = nn.functional.pad(normed, (0, 0, -count % self.landmarks, 0))
        query, key, value = (
            part.unflatten(1, (self.attention_heads, -1)).transpose(0, 1)
            for part in self.projections(normed).chunk(3, dim=1)
        )
        query = query / query.shape[-1] ** 0.5
        if count > self.landmarks:
            few_queries, few_keys = (part.unflatten(1, (self.landmarks, -1)).mean(dim=2) for part in (query, key))
            inner = (few_queries @ few_keys.mT).softmax(dim=-1)
            left = (query @ few_keys.mT).softmax(dim=-1) @ pseudo_inverse(inner)
            right = (few_queries @ key.mT).softmax(dim=-1)
            attended = left @ (right @ value)
            first = torch.einsum("hm,hmt->ht", left[:, -count], right)
        else:
            weights = (query @ key.mT).softmax(dim=-1)
            attended, first = weights @ value, weights[:, 0]
        return tokens + attended.transpose(0, 1).flatten(1)[-count:], first.mean(dim=0)[-count:]


class Places(nn.Module):
    """Tells instances on a square grid their places by convolutions (pyramid position encoding generator, PPEG)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(hidden, hidden, width, padding=width // 2, groups=hidden) for width in (7, 5, 3)]
        )

    def forward(self, tokens: Tensor, side: int) -> Tensor:
        """Give tokens (side * side, h) with their surroundings added."""
        grid = tokens.T.reshape(1, -1, side, side)
        surroundings = torch.stack([convolution(grid) for convolution in self.convolutions]).sum(dim=0)
        return (grid + surroundings)[0].flatten(1).T


def pseudo_inverse(matrices: Tensor, iterations: int = 6) -> Tensor:
    """Moore-Penrose inverse of (..., m, m) by the iteration of Razavi 2014, as in Xiong 2021, section 3.3."""
    norms = matrices.abs().sum(dim=-2).amax(dim=-1) * matrices.abs().sum(dim=-1).amax(dim=-1)
    found = matrices.mT / norms[..., None, None]
    identity = torch.eye(matrices.shape[-1], device=matrices.device)
    for _ in range(iterations):
        product = matrices @ found
        found = found @ (13 * identity - product @ (15 * identity - product @ (7 * identity - product))) / 4
    return found
