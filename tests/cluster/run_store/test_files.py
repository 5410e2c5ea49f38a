from reinforce.cluster.files import LineReader


def read(tail):
    return list(tail.new_lines())


def test_each_whole_line_is_read_once_and_a_torn_one_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    tail = LineReader(path)
    assert read(tail) == []

    path.write_bytes(b"one\ntwo\nthr")
    assert read(tail) == [b"one\n", b"two\n"]
    assert read(tail) == []

    with path.open("ab") as file:
        file.write(b"ee\n")
    assert read(tail) == [b"three\n"]
    tail.close()


def test_a_file_that_took_its_place_is_noticed_and_the_old_one_read_to_its_end(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"one\n")
    tail = LineReader(path)
    assert not tail.is_replaced()
    assert read(tail) == [b"one\n"]
    assert not tail.is_replaced()

    other.write_bytes(b"another\n")
    other.replace(path)

    assert tail.is_replaced()
    assert read(tail) == []
    tail.close()
