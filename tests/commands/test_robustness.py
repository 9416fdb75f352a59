"""robustness and ship-robustness on the command line, and sc.robustness and sc.explains, on images that are quickly done."""

import json
import math

import pandas as pd
import pytest

import stiffcore as sc
from stiffcore import files
from stiffcore.adversarial import rows as robustness_rows
from stiffcore.commands import main as cli
from stiffcore.errors import CannotCompute
from stiffcore.sweeps import shipping
from tests.made_up import attacked


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SHIPPED", tmp_path)
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    return tmp_path


def test_a_table_and_a_verdict_of_what_ships(capsys):
    code, out, _ = run(capsys, "robustness", "resnet18", "--images", "0,35")
    table = robustness_rows.rows(sc.network("resnet18")).set_index("image")
    assert code == 0
    assert f"{table.loc[0, 'pgd_radius']:g}" in next(line for line in out.splitlines() if line.split()[0] == "0")
    assert "undefined: the network predicts it wrongly" in out
    assert "Does stiffness explain adversarial examples? Not shown." in out  # two images show nothing


def test_json_holds_the_verdict_its_table_and_the_rows(capsys, tmp_path):
    code, out, _ = run(capsys, "robustness", "resnet18", "--images", "0:70", "--json", "--out", str(tmp_path / "r.csv"))
    said = json.loads(out)
    assert code == 0
    assert len(said["rows"]) == 70 == len(pd.read_csv(tmp_path / "r.csv"))
    assert said["verdict"]["word"] in ("holds", "does not hold", "not shown")
    assert {"measure", "block", "r", "partial_r", "n", "reason"} <= set(said["relations"][0])
    assert said["rows"][35]["pgd_radius"] is None


def test_ship_robustness_writes_what_the_commands_read(capsys, folder):
    code, out, _ = run(capsys, "ship-robustness", "resnet18", "--images", "7,35")
    assert code == 0
    assert "2 rows" in out
    shipped = robustness_rows.rows(sc.network("resnet18"))
    assert shipped["image"].tolist() == [7, 35]
    about = shipping.about()["robustness-resnet18.parquet"]
    assert about["commands"] == ["python -m stiffcore ship-robustness resnet18 --images 7,35"]


def test_the_front_door_takes_a_network_and_arrays():
    network = attacked.network(attacked.convolutional())
    rows = sc.robustness(network, images=[attacked.image(0), attacked.image(1)])
    assert rows["image"].tolist() == ["image 0", "image 1"]
    assert (rows["pgd_radius"] <= rows["fgsm_step"]).all()


def test_explains_says_what_ships():
    table = sc.explains("resnet18")
    margin = table[table["measure"] == "margin"].iloc[0]
    assert margin["r"] > 0.5
    assert math.isfinite(margin["low"])
    assert "margin alone" in table.attrs["verdict"]
    with pytest.raises(ValueError, match="Expected an outcome"):
        sc.explains("resnet18", "accuracy")


def test_a_network_without_a_head_is_refused(capsys, tmp_path):
    import numpy as np

    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(sc.CannotCompute, match="without one"):
        sc.robustness(sc.matrix(tmp_path / "a.npy"), images=[0])


def test_a_request_that_is_refused_leaves_no_folder(capsys, tmp_path):
    out = tmp_path / "none" / "rows.csv"
    code, _, err = run(capsys, "robustness", "resnet18", "--images", "99999999", "--out", str(out))
    assert code
    assert "99999999" in err
    assert not out.parent.exists()


def test_without_images_the_error_says_what_to_do():
    with pytest.raises(CannotCompute, match="name some"):
        sc.robustness("resnet18", images=[])
