"""Ends of colours."""

from __future__ import annotations

import numpy as np

from napari_stmask.gui.limits import default_limits, ordered


def test_from_zero_where_values_reach_down_to_it():
    values = np.array([0.0, np.nan, *np.linspace(0.2, 4.0, 200)])
    low, high = default_limits(ordered(values))
    assert low == 0
    assert high == np.quantile(np.linspace(0.2, 4.0, 200), 0.99)


def test_a_gene_that_is_high_everywhere_has_more_than_one_colour():
    values = np.linspace(4.0, 5.5, 200)
    low, high = default_limits(ordered(values))
    assert low == np.quantile(values, 0.01)
    assert high == np.quantile(values, 0.99)


def test_signed_and_missing_values():
    assert default_limits(ordered(np.linspace(-2, 2, 101)))[0] < -1.9
    assert default_limits(ordered(np.zeros(5))) == (0.0, 1.0)
    low, high = default_limits(ordered(np.full(4, 3.0)))
    assert low == 3.0
    assert high > low
