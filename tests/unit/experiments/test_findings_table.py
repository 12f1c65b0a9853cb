"""Findings as people, programs and the documentation read them."""

import json
import math

from fathom.experiments.findings.claims import findings
from fathom.experiments.findings.finding import Claim, Finding
from fathom.experiments.findings.table import as_markdown, as_text
from fathom.experiments.statistics import Estimate
from outcomes_made import trainings

CLAIM = Claim(text="It falls.", source="SA 3.2, Fig. 2", above=False)
OUTCOMES = trainings(lambda task, noise: {}, repetitions=3)


def finding(low: float, high: float, *, group: str = "digits, vgg16", note: str = "") -> Finding:
    return CLAIM.judged(
        Estimate((low + high) / 2, low, high),
        OUTCOMES,
        group=group,
        statistic="ρ of it",
        notes=[note],
    )


def test_a_claim_holds_where_the_whole_interval_is_on_its_side() -> None:
    verdicts = {ends: finding(*ends).verdict for ends in ((-2, -1), (-2, 0), (-2, 1), (1, 2))}
    assert verdicts == {
        (-2, -1): "holds",
        (-2, 0): "does not hold",
        (-2, 1): "does not hold",
        (1, 2): "does not hold",
    }


def test_the_bound_of_a_claim_counts() -> None:
    half = Claim(text="Early.", source="EP", above=False, bound=0.5)

    def verdict(high: float) -> str:
        return half.judged(Estimate(0.3, 0.2, high), OUTCOMES, group="", statistic="").verdict

    assert [verdict(0.49), verdict(0.51)] == ["holds", "does not hold"]


def test_what_else_a_claim_takes_is_said_where_the_number_alone_would_hold() -> None:
    for ends, expected in (
        ((-2, -1), "it rains"),
        ((-2, 1), "the interval includes 0"),
        ((1, 2), "the other way round"),
    ):
        estimate = Estimate(sum(ends) / 2, *ends)
        found = CLAIM.judged(estimate, OUTCOMES, group="", statistic="", unless="it rains")
        assert (found.verdict, found.note) == ("does not hold", expected)


def test_a_lack_is_the_verdict_whatever_the_interval_says() -> None:
    found = CLAIM.judged(
        Estimate(-2, -3, -1), OUTCOMES, group="", statistic="", lacks="1 of at least 3 widths"
    )
    assert (found.verdict, found.note) == ("not enough data", "1 of at least 3 widths")


def test_a_body_is_json_without_numbers_that_json_does_not_have() -> None:
    body = finding(math.nan, math.nan).to_body()
    told = json.loads(json.dumps(body, allow_nan=False))
    assert told["value"] is told["low"] is told["high"] is None
    assert told["verdict"] == "not enough data"
    whole = finding(-2.0, -1.0).to_body()
    assert (whole["value"], whole["low"], whole["high"]) == (-1.5, -2.0, -1.0)
    assert whole["claim"] == "It falls."
    assert whole["trainings"] == whole["repetitions"] == 3


def test_text_says_a_claim_once_above_what_it_was_read_on() -> None:
    text = as_text([finding(-2, -1), finding(-2, 1, group="cifar10, vgg16", note="so")])
    assert text.splitlines() == [
        "verdict         value      95% interval  trainings  repetitions  read on",
        "",
        "It falls. (SA 3.2, Fig. 2)",
        "  ρ of it",
        "holds          -1.500  -2.000 to -1.000          3            3  digits, vgg16",
        "does not hold  -0.500   -2.000 to 1.000          3            3  cifar10, vgg16",
        "    the interval includes 0; so",
    ]


def test_no_line_is_longer_than_100_characters_where_there_are_words() -> None:
    group = "digits (2 to 10 classes, clutter 0 to 0.5), vgg11, vgg13, vgg16, vgg19, resnet18"
    note = "1 left out, without a number; " * 4
    found = CLAIM.judged(
        Estimate(-1.5, -2, -1), OUTCOMES, group=group, statistic="ρ of it " * 20, notes=[note]
    )
    lines = as_text([found], caution="so many words " * 20).splitlines()
    assert max(map(len, lines)) <= 100
    # What it is read on stays in its column, and no word is lost.
    start = lines[0].index("read on")
    place = next(place for place, line in enumerate(lines) if line.startswith("holds"))
    assert not lines[place + 1][:start].strip()
    assert " ".join(line[start:] for line in lines[place : place + 3]).split() == group.split()
    words = " ".join(" ".join(lines).split())
    for each in (note, "ρ of it " * 20, "so many words " * 20):
        assert each.strip() in words


def test_a_caution_is_the_last_line() -> None:
    one = [finding(-2, -1)]
    assert as_text(one, caution="2 of 3.") == as_text(one) + "\n\n2 of 3."
    assert as_markdown(one, caution="a_b: low.") == as_markdown(one) + "\n\na\\_b: low."
    long = as_text([finding(-2, -1, group="folder:/" + "a" * 120)])
    assert "a" * 120 in long


def test_what_is_not_a_number_is_a_dash() -> None:
    row = as_text([finding(math.nan, math.nan)]).splitlines()[-2]
    assert row.split()[:5] == ["not", "enough", "data", "–", "–"]


def test_no_finding_is_said_too() -> None:
    assert as_text([]) == "The trainings speak to none of the claims."


def test_markdown_is_one_table_whose_names_are_text() -> None:
    lines = as_markdown([finding(-2, -1, group="folder:/a|b_c, vgg16")]).splitlines()
    assert len(lines) == 3
    assert lines[1] == "| " + " | ".join(["---"] * 5) + " |"
    assert lines[2] == (
        "| It falls. (SA 3.2, Fig. 2) | folder:/a\\|b\\_c, vgg16 "
        "| ρ of it: -1.500 (-2.000 to -1.000) | 3, in 3 repetitions | holds |"
    )


def test_a_name_that_a_terminal_would_obey_is_written_out() -> None:
    outcomes = trainings(lambda task, noise: {}, data=("folder:/\x1b[2J",), width=(1.0, 2.0, 3.0))
    found = findings(outcomes)
    assert found
    assert "\x1b" not in as_text(found) + as_markdown(found)
