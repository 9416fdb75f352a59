"""What is stored of a network's growth, what ships, and its rows."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import stiffcore as sc
from stiffcore.errors import CannotCompute
from stiffcore.growth import compute, estimate, requests, rows, shipping as growth_shipping
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping
from tests.made_up.growth import made_up, store

COMMAND = "python -m stiffcore ship-growth resnet18 --images 0,1"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))


@pytest.fixture
def planted(monkeypatch):
    """Growth by a formula; the images that were computed, in order."""
    computed = []

    def fresh(request, report):
        computed.append(request.image.number)
        return made_up(request.network.name, request.image.number)

    monkeypatch.setattr(compute, "_fresh", fresh)
    return computed


def test_a_result_comes_back_as_it_was():
    growth = store(made_up())
    found = requests.stored(growth.request)
    for field in dataclasses.fields(growth):
        value, stored = getattr(growth, field.name), getattr(found, field.name)
        assert np.array_equal(value, stored) if isinstance(value, np.ndarray) else value == stored, field.name


@pytest.mark.parametrize(
    "damage",
    [
        lambda header, arrays: arrays.pop("growth"),
        lambda header, arrays: header.pop("numbers"),
        lambda header, arrays: arrays.update(growth=np.zeros(3)),
        lambda header, arrays: header["numbers"].update(loss="much"),
    ],
)
def test_a_damaged_entry_counts_as_a_miss_and_is_computed_again(damage, planted):
    growth = made_up()
    entry = requests.as_entry(growth)
    header, arrays = dict(entry.header), dict(entry.arrays)
    damage(header, arrays)
    result_cache.default().put(requests.key(growth.request), header, arrays)
    assert requests.stored(growth.request) is None
    assert compute.compute(growth.request).growth.tolist() == growth.growth.tolist()
    assert planted == [0]
    assert requests.stored(growth.request) is not None


def test_other_weights_and_other_images_have_other_keys():
    keys = {requests.key(made_up(*of).request) for of in (("resnet18", 0), ("resnet18", 1), ("resnet18-untrained", 0))}
    assert len(keys) == 3


def test_rows_ship_and_whole_results_of_some_images(planted):
    network = networks.find("resnet18")
    chosen = [images.find(0), images.find(1)]
    path = growth_shipping.ship(network, chosen, chosen[:1], COMMAND)
    assert planted == [0, 1]
    found = rows.rows(network)
    assert tuple(found) == rows.COLUMNS
    assert found["image"].tolist() == [0] * 8 + [1] * 8
    assert found["growth_from_image"].tolist()[:8] == made_up().growth.tolist()
    assert found["norm_to_logits"].tolist() == [3.0] * 16
    facts = shipping.about()[path.name]
    assert (facts["kind"], facts["rows"], facts["images"], facts["commands"]) == ("growth", 16, 2, [COMMAND])
    whole = ShippedResults(shipping.FOLDER).keys()
    assert whole == {requests.key(made_up().request)}
    assert shipping.is_whole(shipping.FOLDER / growth_shipping.WHOLE)


def test_shipping_again_computes_only_what_is_missing(planted):
    network = networks.find("resnet18")
    growth_shipping.ship(network, [images.find(0)], [], COMMAND)
    growth_shipping.ship(network, [images.find(0), images.find(1)], [], COMMAND)
    assert planted == [0, 1]
    assert set(rows.rows(network)["image"]) == {0, 1}


def test_what_ships_is_shown_with_its_directions_nearly_as_computed(planted, tmp_path, monkeypatch):
    growth_shipping.ship(networks.find("resnet18"), [images.find(0)], [images.find(0)], COMMAND)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "another cache"))
    found = requests.stored(made_up().request)
    assert found.input_directions.dtype == np.float32
    np.testing.assert_allclose(found.input_directions, made_up().input_directions, rtol=1e-3, atol=1e-6)
    assert found.growth.tolist() == made_up().growth.tolist()


def test_a_damaged_file_and_rows_of_other_weights_are_left_out(planted):
    network = networks.find("resnet18")
    path = growth_shipping.ship(network, [images.find(0)], [], COMMAND)
    other = dataclasses.replace(network, weights_sha256="0" * 64)
    assert rows.rows(other).empty
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    assert rows.rows(network).empty
    assert tuple(rows.rows(network)) == rows.COLUMNS


def test_rows_of_this_machine_stand_beside_those_that_ship(planted):
    network = networks.find("resnet18")
    growth_shipping.ship(network, [images.find(0)], [], COMMAND)
    store(made_up(image=3))
    found = rows.all_rows(network, [images.find(number) for number in (0, 1, 3)])
    assert found.groupby("image")["block"].count().to_dict() == {0: 8, 3: 8}


def test_uploaded_images_do_not_ship():
    own = sc.image(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(CannotCompute, match="images that come with the project"):
        growth_shipping.ship(networks.find("resnet18"), [own], [], COMMAND)


def test_larger_networks_are_said_to_take_longer():
    seconds = [estimate.seconds(networks.find(name)) for name in ("resnet18", "resnet34", "resnet50")]
    assert seconds == sorted(seconds)
    assert 2 < seconds[0] < 10


def test_the_folder_of_the_same_name_does_not_hide_the_function():
    import stiffcore.growth.rows  # noqa: F401  would set sc.growth to the folder

    assert callable(sc.growth)
    assert isinstance(rows.rows(networks.find("resnet18")), pd.DataFrame)
