"""What a fix costs: a fixed vocabulary, cheapest first, with the weight that the search orders factors by.

The words are told to people by `reports.messages` (`cost.WORD`).
"""

from __future__ import annotations

COSTS: dict[str, float] = {
    "none": 1.0,  # a defect is mended, or a setting without use is dropped
    "somebody_elses": 1.5,  # memory of other processes, a larger slice: nothing of the training changes
    "little_slower": 2.0,
    "slower": 3.0,
    "rounded_weights": 4.0,  # a narrower type
    "fewer_samples_a_step": 4.0,  # made up for by accumulation
    "no_validation": 5.0,
    "larger_card": 5.0,
    "less_capacity": 6.0,  # adapters with fewer parameters
    "shorter_history": 6.0,
    "other_dynamics": 7.0,  # another optimizer
    "other_task": 8.0,  # items instead of titles
    "not_the_training": 9.0,  # a part left out: tells where, mends nothing
}
"""Word -> weight; a factor's weight is that of its mildest level."""
