"""What may be adapted, and the scale of it."""

import pytest

from biomechjax.language.lora import LoraConfig


def test_the_scale_is_alpha_over_the_rank_or_its_root():
    assert LoraConfig(rank=16, alpha=32.0).scale == 2.0
    assert LoraConfig(rank=16, alpha=32.0, rs=True).scale == 8.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rank", 0),
        ("alpha", 0.0),
        ("dropout", 1.0),
        ("targets", ()),
        ("targets", ("query", "query")),
        ("targets", ("q_proj",)),
    ],
)
def test_impossible_fields_are_refused_by_name(field: str, value: object):
    with pytest.raises(ValueError, match=f"LoraConfig.{field}"):
        LoraConfig(**{field: value})
