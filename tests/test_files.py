"""A file is replaced completely or not at all."""

import threading

import pytest

from stiffcore import files


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "folder" / "data.bin"
    files.write_replaced(path, b"old")
    with files.replaced(path) as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert partial.parent == path.parent, "only within one folder does a rename always take one step"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "data.bin"
    files.write_replaced(path, b"old")

    def interrupted():
        with files.replaced(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_threads_write_to_two_files(tmp_path):
    names = []

    def write():
        with files.replaced(tmp_path / "data.bin") as partial:
            names.append(partial)
            partial.write_bytes(b"new")
            both.wait(10)

    both = threading.Barrier(2)
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2
    assert (tmp_path / "data.bin").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1
