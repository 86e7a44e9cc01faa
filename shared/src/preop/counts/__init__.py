"""The distribution of a sum of independent, unequal Bernoulli variables (Poisson-binomial), for learning from counts.

A pathologist reports how many lymph nodes are positive, not which. With one logit an instance, the functions here give
the probability of such a report, differentiably, and trace the report back to the instances.

Every observation is an interval of the count: exactly three is ``low = high = 3``, "two to four" is ``2, 4``, pN0 is
``0, 0`` and pN+ without a number is ``1, inf``. Two constants say how far the counted set and the instances differ:

``found``
    Thinning: the probability that a positive instance enters the count. Less than 1 where a node that is seen on CT
    may not have been removed or recognised.
``leak``
    The Poisson mean of counted positives outside of all instances: metastases in nodes that nobody segmented.

All is computed on logarithms, so float32 is exact far below probabilities of 1e-30. Importing this package imports
torch.
"""

from preop.counts.distribution import log_probabilities
from preop.counts.observations import log_likelihood, log_sum_exp, posterior
from preop.counts.parts import log_probabilities_of_parts

__all__ = ["log_likelihood", "log_probabilities", "log_probabilities_of_parts", "log_sum_exp", "posterior"]
