"""Labels of images with a number are CIFAR-10's: under other classes they name nothing."""

import numpy as np
import pytest

from stiffcore.images import registry, uploaded
from stiffcore.images.image import Image
from stiffcore.images.labels import LABELS

OTHER = tuple(map(str, range(100)))


@pytest.fixture
def cat(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return registry.find(uploaded.register(pixels, {"name": "mine", "kind": "upload", "label": 3}))


def test_an_uploaded_cat_is_no_class_3_of_another_network(cat):
    assert cat.label_among(LABELS) == registry.find(0).label_among(LABELS) == "cat"
    assert cat.label_in(OTHER) is cat.label_in(()) is registry.find(0).label_in(OTHER) is None
    assert Image.of(cat.pixels, "array", 3).label_in(OTHER) == 3, (
        "an array's label is a position in any network's classes"
    )


def test_a_prediction_among_many_classes_is_kept(cat):
    cat.on_prediction("ab" * 32, 57)
    assert uploaded.get(cat.number).predicted == {"ab" * 32: 57}
