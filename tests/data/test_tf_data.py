"""Photos as a tf.data.Dataset."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_photos
from tfpoets.data import TRAINING, hash_photos, load_photos, read_dataset, split_photos, to_tf_data
from tfpoets.tf_runtime import import_tensorflow


def test_batches_contain_the_decoded_photos_and_their_targets(tmp_path: Path) -> None:
    write_photos(tmp_path / "a", 12, 0)
    write_photos(tmp_path / "b", 12, 1)
    examples = split_photos(hash_photos(read_dataset(tmp_path), 2)[0]).part(TRAINING)
    batches = list(to_tf_data(examples, 20, 16, batch_size=8).as_numpy_iterator())
    expected = load_photos([photo.uri for photo in examples.photos], 20, 16, 2) / np.float32(255)
    np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in batches]), expected)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), examples.y)
    assert len(batches[0][0]) == 8
    shuffled = to_tf_data(examples, 20, 16, shuffle_seed=1)
    orders = [np.concatenate([y for _, y in shuffled.as_numpy_iterator()]) for _ in range(2)]
    assert all(sorted(order) == sorted(examples.y) for order in orders)
    assert any((order != examples.y).any() for order in orders)


def test_a_photo_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    write_photos(tmp_path / "a", 12, 0)
    write_photos(tmp_path / "b", 12, 1)
    examples = split_photos(hash_photos(read_dataset(tmp_path), 2)[0]).part(TRAINING)
    Path(examples.photos[3].uri).write_bytes(b"no photo")
    tensorflow = import_tensorflow()
    with pytest.raises(tensorflow.errors.OpError, match="PhotoError"):
        list(to_tf_data(examples, 20, 16))
