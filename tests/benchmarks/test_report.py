import re

import pytest
import report
import results


@pytest.fixture(params=report.PAGES, ids=lambda page: page.stem)
def page(request):
    return request.param


def test_a_page_says_what_the_results_say(page):
    text = page.read_text()

    assert report.filled(text) == text, "run benchmarks/report.py"


def test_every_result_has_a_place_on_a_page():
    texts = [page.read_text() for page in report.PAGES]
    places = {place[2] for text in texts for place in report.PLACE.finditer(text)}

    assert {path.stem for path in results.FOLDER.glob("*.json")} <= places


def test_every_picture_of_a_page_is_there(page):
    pictures = re.findall(r"\]\((images/[^)]+)\)", page.read_text())

    assert [name for name in pictures if not (page.parent / name).exists()] == []


def test_a_table_is_replaced_as_a_whole(tmp_path):
    page = (
        "before\n<!-- table: a -->\n| old |\n<!-- end -->\n"
        "between\n<!-- table: b -->\n<!-- end -->\n"
    )
    results.write("a", [{"ratio": 0.5}], "benchmarks/a.py", folder=tmp_path)

    filled = report.filled(page, tmp_path)

    assert "| old |" not in filled
    assert "| ratio |\n| --- |\n| 0.5 |" in filled
    assert filled.endswith("between\n<!-- table: b -->\nNot measured yet.\n<!-- end -->\n")
    assert report.filled(filled, tmp_path) == filled


def test_a_result_is_read_as_it_was_written(tmp_path):
    results.write("a", [{"x": 1}], "old", folder=tmp_path)
    results.write(
        "a", [{"x": 2}], "benchmarks/a.py", folder=tmp_path, packages=["numpy", "no-such"]
    )

    result = results.read("a", folder=tmp_path)
    assert result["rows"] == [{"x": 2}]
    assert result["command"] == "benchmarks/a.py"
    assert list(result["versions"]) == ["python", "numpy"]
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["cpu"]
    assert results.read("b", folder=tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
