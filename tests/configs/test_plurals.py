from reinforce.configs.plurals import counted


def test_one_thing_is_no_plural_and_thousands_are_separated():
    assert [counted(n, "update") for n in (0, 1, 2000)] == [
        "0 updates",
        "1 update",
        "2,000 updates",
    ]
