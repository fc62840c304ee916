import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from emulator.nightly.page.packing import (
    MISSING,
    as_json,
    fingerprint,
    packed,
    rounded,
)

from .worlds import unpacked


@given(arrays(np.int16, array_shapes(min_dims=1, max_dims=3, max_side=9)))
def test_packed_codes_come_back(codes: np.ndarray) -> None:
    np.testing.assert_array_equal(unpacked(packed(codes), codes.shape), codes)


@given(
    arrays(np.float32, 20, elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from([0.01, 0.5, 2.0]),
)
def test_rounded_values_are_within_half_a_step(values: np.ndarray, step: float) -> None:
    codes, used = rounded(values, step)
    assert used >= step
    np.testing.assert_allclose(codes * used, values, rtol=1e-6, atol=used / 2 * 1.001)


def test_missing_values_have_their_own_code() -> None:
    codes, step = rounded(np.array([np.nan, -3.0, 0.0, np.inf]), 0.5)
    assert codes.tolist() == [MISSING, -6, 0, MISSING]
    assert step == 0.5


def test_step_grows_until_the_largest_value_fits() -> None:
    # 40000 steps of 1 do not fit into 16 bits; 4000 of 10 do.
    codes, step = rounded(np.array([40000.0, -15.0]), 1.0)
    assert (codes.tolist(), step) == ([4000, -2], 10.0)


def test_json_is_reproducible_and_refuses_what_it_has_no_word_for() -> None:
    assert as_json({"b": 1, "a": [None, "\u00b0"]}) == '{"a":[null,"\\u00b0"],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json([float("nan")])


def test_fingerprints_differ_with_content() -> None:
    assert fingerprint("a") != fingerprint("b")
    assert fingerprint("a") == fingerprint("a")
