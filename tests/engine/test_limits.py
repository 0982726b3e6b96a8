"""What is too large, too far or out of a declared range is a fault with its key, told before any list is made."""

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
import xarray as xr
from annotated_types import Ge, Gt, Interval, Len
from ilrs_toys.campaign import SECOND, START, Campaign
from ilrs_toys.clock import to_units
from pydantic import AfterValidator, BeforeValidator

import ilrs_science as ilrs
from ilrs_science import Duration, Instrument, PlanError, Product, Reference, Variable, step
from ilrs_science.geometry.time import isot
from ilrs_science.planning.calls import bind_step
from ilrs_science.planning.faults import layout_faults
from ilrs_science.planning.pipeline import load_pipeline

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.write("a.toy", "a", range(8))
    return made


def faults(pipeline: dict[str, Any], **more: Any) -> dict[str, str]:
    with pytest.raises(PlanError) as caught:
        ilrs.plan(pipeline, **more)
    return {fault.path: f"{fault.found}; {fault.allowed}" for fault in caught.value.faults}


def lasting(seconds: int, step: str) -> dict[str, str]:
    return {"start": isot(START), "stop": isot(START + seconds * SECOND), "step": step}


def test_slots_beyond_the_limit_are_counted_and_not_made(campaign: Campaign) -> None:
    assert "33554432" in faults(campaign.pipeline(time=lasting(3600, "1 ns")))["time.step"]
    found = faults(campaign.pipeline(time=lasting(3600, "1 ns"), partition="none"))
    assert found["time.step"].startswith("the cube would hold 3600000000000 slots; a cube holds at most 33554432;")


def test_a_cube_of_exactly_the_limit_is_planned_as_far_as_its_size_goes(campaign: Campaign) -> None:
    layout = {"chunk": 2**12, "shard": 2**24}
    assert len(ilrs.plan(campaign.pipeline(time=lasting(2**25, "1 s"), layout=layout, partition="none")).parts) == 4
    too_long = campaign.pipeline(time=lasting(2**25 + 1, "1 s"), layout=layout, partition="none")
    assert "time.step" in faults(too_long)


def test_parts_beyond_the_limit_are_counted_and_not_made(campaign: Campaign) -> None:
    found = faults(campaign.pipeline(time=lasting(10**6, "1 s"), layout={"chunk": 1, "shard": 1}))
    assert found["layout"].startswith("makes 2000000 parts; a plan has at most 1000000; give a larger shard")


@pytest.mark.parametrize("key", ["chunk", "shard", "part"])
@pytest.mark.parametrize("value", [10**30, 10**12, 2**25 + 1, 0, -1, 1.5, 2.0, "2", True, [2]])
def test_a_layout_of_no_possible_size_is_named_by_its_key(campaign: Campaign, key: str, value: Any) -> None:
    assert list(faults(campaign.pipeline(8, layout={key: value}))) == [f"layout.{key}"]


def test_a_chunk_larger_than_the_compressor_takes_is_a_fault(campaign: Campaign) -> None:
    image = Product(Variable("image", ("time", "y", "x"), "f4", "1"), exposures=True, coordinates={"y": 600, "x": 512})
    frames = Instrument("frames", files="*", read=to_units, steps=(to_units,), product=image)

    def of(chunk: int) -> list[str]:
        return [
            fault.path
            for fault in layout_faults(load_pipeline(campaign.exposures(layout={"chunk": chunk})), frames, "slot")
        ]

    # 512 x 512 pixels of 4 bytes are 2**20, and the compressor takes a little less than 2**31.
    assert (of(2047), of(2048)) == ([], ["layout.chunk"])


def test_broken_keys_come_first_and_what_follows_from_them_is_not_told(campaign: Campaign) -> None:
    pipeline = campaign.pipeline(8, steps=[{"to_units": {"noise": "loud"}}], layout={"chunk": 3, "shard": 4})
    found = faults(pipeline | {"time": {"start": "someday"}, "nam": "x"})
    assert list(found)[-2:] == ["steps[0].to_units.noise", "layout"] or list(found)[-1] == "steps[0].to_units.noise"
    assert set(found) == {"nam", "time.start", "time.stop", "steps[0].to_units.noise", "layout"}


def test_an_unknown_instrument_does_not_hide_what_else_is_wrong(campaign: Campaign) -> None:
    found = faults(campaign.pipeline(8, instrument="toy-clok", sites=["a", "a"], output="/proc/x"))
    assert list(found) == ["instrument", "sites[1]", "output"]


def test_a_site_that_can_be_none_is_named_with_its_key(campaign: Campaign) -> None:
    sites = [{"name": "a", "height": float("nan")}, {"name": "b", "lon": "10"}, {"name": "c", "lat": True}]
    horizon = [[0, 1], [360, 2]]
    assert list(faults(campaign.pipeline(8, sites=sites))) == ["sites[0].height", "sites[1].lon", "sites[2].lat"]
    assert list(faults(campaign.pipeline(8, sites=[{"name": "a", "horizon": horizon}]))) == ["sites[0]"]


def test_a_chain_that_looks_further_than_a_year_is_a_fault_of_its_widest_step(campaign: Campaign) -> None:
    steps = [{"sum_near": {"window": "1 d"}}, {"sum_near": {"window": "9000000000 s"}}, "to_units"]
    found = faults(campaign.pipeline(8, steps=steps))
    assert list(found) == ["steps[1].sum_near"]
    assert found["steps[1].sum_near"].endswith("at most 366 d in all")


def test_a_site_without_a_file_is_a_warning_and_a_fault_where_warnings_are(campaign: Campaign) -> None:
    plan = ilrs.plan(campaign.pipeline(8))
    assert [str(one) for one in plan.warnings] == [
        "sites[1]: 'bb' has no raw file in this time; it stays empty, all of it missing"
    ]
    assert "sites[1]" in faults(campaign.pipeline(8), strict=True)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "no step will never deliver value, value_uncertainty, number; read gives"),
        ([{"at_site": {"offset": 1}}], None),
        (["to_units"], None),
        (["flag_odd"], None),
    ],
)
def test_a_chain_that_can_never_deliver_the_product_is_a_fault(
    campaign: Campaign, steps: list[Any], said: str | None
) -> None:
    if said is None:
        ilrs.plan(campaign.pipeline(8, steps=steps))
    else:
        assert said in faults(campaign.pipeline(8, steps=steps))["steps"]


class Side(Enum):
    NEAR = "near"
    FAR = "far"


def crash(value: float) -> float:
    raise KeyError(value)


@step(margin="window")
def ranged(  # noqa: PLR0913 - a parameter of every kind
    ds: xr.Dataset,
    *,
    threshold: Annotated[float, Gt(0)] = 8.0,
    noise: Annotated[float, Ge(0)] = 0.5,
    share: Annotated[float, Interval(ge=0, le=1)] = 1.0,
    window: Annotated[Duration, Gt(0)] = Duration("2 s"),  # noqa: B008 - immutable
    rows: Annotated[tuple[int, ...], Len(2, 2)] = (1, 2),
    count: int = 1,
    limit: float = float("inf"),
    on: bool = True,
    side: Side = Side.NEAR,
    own: Annotated[float, AfterValidator(crash)] = 1.0,
    gain: Reference | None = None,
) -> xr.Dataset:
    return ds


def bound(**given: Any) -> list[str]:
    _, found = bind_step(ranged, {"own": None} | given, "steps[0].ranged")
    return [str(fault) for fault in found if fault.path != "steps[0].ranged.own"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("threshold", [0, -1, float("nan"), float("inf"), 10**30, "1", True, None, [], {}]),
        ("noise", [-1e-9, float("nan"), "", "\0"]),
        ("share", [1.1, -0.1]),
        ("window", ["0 s", "-1 s", 5, "9" * 400 + " s", "5 parsec", None]),
        ("rows", [[1], [1, 2, 3], ["1", 2], [True, 2], "12", 2**63, [1, [2]], [1, float("nan")]]),
        ("count", [1.5, "1", True, 2**63, None]),
        ("limit", [float("inf")]),
        ("on", ["yes", 1, 0, None]),
        ("side", ["left", 1]),
    ],
)
def test_what_lies_outside_of_a_declared_range_or_kind_is_named_with_its_key(key: str, values: list[Any]) -> None:
    for value in values:
        (found,) = bound(**{key: value})
        assert re.match(rf"steps\[0\].ranged.{key}(\[\d\])?: found ", found), value
        assert len(found) < 300


def test_what_lies_within_is_taken_as_the_step_wants_it() -> None:
    given = {"threshold": 1, "noise": 0, "share": 1, "window": "1 ns", "rows": [5, 6], "count": 2, "on": False}
    assert bound(**given, side="far", limit=3) == []


def summed(ds: xr.Dataset, *, total: Annotated[int, BeforeValidator(sum)]) -> xr.Dataset:
    return ds


def test_a_list_may_become_one_number_where_the_plugin_makes_it_one() -> None:
    own, found = bind_step(summed, {"total": [1, 2]}, "steps[0].summed")
    assert found == []
    assert own is not None
    assert own.parameters == {"total": 3}


def test_a_validator_of_the_plugin_that_fails_is_a_fault_and_no_crash() -> None:
    _, found = bind_step(ranged, {"own": 2.0}, "steps[0].ranged")
    assert "it cannot be used (KeyError: 2.0)" in str(found[0])


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (list[int], [1, 2], ["1", 2]),
        (set[int], [1, 2], ["1", 2]),
        (frozenset[int], [1], [True]),
        (dict[str, int], {"a": 1}, {"a": "1"}),
        (dict[str, list[float]], {"a": [1.5]}, {"a": ["1.5"]}),
    ],
)
def test_text_stands_for_no_number_however_deep_it_lies(annotation: Any, right: Any, wrong: Any) -> None:
    def scaled(ds: xr.Dataset, *, values: Any) -> xr.Dataset:
        return ds

    scaled.__annotations__["values"] = annotation
    assert bind_step(scaled, {"values": right}, "steps[0].scaled")[1] == []
    assert [fault.path for fault in bind_step(scaled, {"values": wrong}, "steps[0].scaled")[1]]
    at = {"values": right, "at": {"haworth": {"values": wrong}}}
    assert all(
        one.path.startswith("steps[0].scaled.at.haworth.values") for one in bind_step(scaled, at, "steps[0].scaled")[1]
    )
    assert bind_step(scaled, at, "steps[0].scaled")[1]
