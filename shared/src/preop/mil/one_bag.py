"""An ensemble on one bag without padding: what its portable form holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from preop.mil.heads import CountHead
from preop.mil.network import BagNetwork


class OneBag(nn.Module):
    """All members, which have the same head, on the same instances.

    Parameters
    ----------
    members
        In evaluation mode.
    """

    def __init__(self, members: Sequence[BagNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *instances: Tensor) -> tuple[Tensor, ...]:
        """Read one bag of n instances, before calibration.

        Returns
        -------
        Of count heads the log odds of each instance (members, n), log chances of the burdens (members, m), and their log
        odds (m,); one burden of log odds 0 where positives do not come together. Of others the log odds of the bag
        (members,), and contributions (members, n).
        """
        members = [cast("BagNetwork", member) for member in self.members]
        features = [member.encoder(*instances).float() for member in members]
        heads = [member.head for member in members]
        counting = [head for head in heads if isinstance(head, CountHead)]
        if counting:
            pairs = zip(counting, features, strict=True)
            log_odds = torch.stack([head.classifier(each)[..., 0] for head, each in pairs])
            chances = [head.log_chances for head in counting if head.log_chances is not None]
            if not chances:
                return log_odds, torch.zeros(len(heads), 1), torch.zeros(1)
            return log_odds, torch.stack(chances), counting[0].burdens.clone()
        readings = [
            head(each[None], torch.ones(1, len(each), dtype=torch.bool))
            for head, each in zip(heads, features, strict=True)
        ]
        return torch.cat([each.logit for each in readings]), torch.cat([each.contributions for each in readings])
