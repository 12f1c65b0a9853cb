import pytest
import torch
from torch import Tensor

from fathom.capture.masks import Mask, Masks, aligned, last_real, masks_among

REAL = torch.tensor([[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("attention_mask", REAL),
        ("attention_mask", REAL.bool()),
        ("attention_mask", REAL.float()),
        ("src_key_padding_mask", ~REAL.bool()),
        ("key_padding_mask", torch.zeros(2, 3).masked_fill(REAL == 0, -torch.inf)),
    ],
)
def test_every_way_to_mark_padding_is_understood(name: str, mask: Tensor) -> None:
    found = masks_among({"input_ids": torch.zeros(2, 3), name: mask})
    assert found.decoder is None
    assert found.encoder is not None
    assert torch.equal(found.encoder.real(), REAL.bool())


@pytest.mark.parametrize("name", ["decoder_attention_mask", "tgt_key_padding_mask"])
def test_the_decoder_has_its_own(name: str) -> None:
    found = masks_among({name: REAL})
    assert found == Masks(None, Mask(REAL, marks_padding=name.startswith("tgt")))


@pytest.mark.parametrize("mask", [None, "causal", REAL[None], torch.ones(3, 3, 1)])
def test_what_is_no_mask_of_padding_is_none(mask: object) -> None:
    assert masks_among({"attention_mask": mask}) == Masks()


def test_a_mask_lies_over_the_positions_of_an_output() -> None:
    mask = REAL.bool()
    flat = mask.reshape(-1)
    for shape, sequence_first, expected in (
        ((2, 3), False, flat),
        ((3, 2), True, mask.T.reshape(-1)),
        ((6,), False, flat),
        ((6,), True, mask.T.reshape(-1)),
        ((2, 3, 2), False, None),
        ((2,), False, None),
        ((2, 4), False, None),
        ((3, 2), False, None),
    ):
        came = aligned(mask, torch.Size(shape), sequence_first=sequence_first)
        if expected is None:
            assert came is None
        else:
            assert came is not None
            assert torch.equal(came, expected)
    assert aligned(None, torch.Size((2, 3)), sequence_first=False) is None


def test_the_last_real_position_of_each_sequence() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1]]).bool()
    assert last_real(mask).tolist() == [1, 2, 0, 2]


def test_a_mask_that_is_added_to_the_logits_is_understood() -> None:
    added = torch.zeros(2, 3).masked_fill(REAL == 0, -1e9)
    for marks_padding in (False, True):
        assert torch.equal(Mask(added, marks_padding).real(), REAL.bool())
        assert Mask(torch.zeros(2, 3), marks_padding).real().all()
