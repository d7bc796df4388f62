"""Lets Hypothesis make every program from scratch.

Left to itself it makes five variations of each, with one piece repeated elsewhere: good for finding equal values, and
here a fifth of the programs for the same money. A backend is only asked for fresh ones. Shrinking and the database of
examples are not a backend's affair, so they stay.

Source: Hypothesis's documentation, "Alternative backends".
"""

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider


class FromScratch(HypothesisProvider):
    """Hypothesis's own choices."""


NAME = "oxio-from-scratch"
AVAILABLE_PROVIDERS[NAME] = f"{__name__}.{FromScratch.__name__}"
