"""The notebook of `examples/` runs from top to bottom in a kernel, and is fit to be read there."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def text_of(cell, kind="stream"):
    outputs = [output for output in cell.outputs if output.output_type == kind]
    if kind == "stream":
        return "".join(output.text for output in outputs)
    return "".join(output.data["text/plain"] for output in outputs)


def test_it_is_committed_without_what_came_out():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]

    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


def test_widgets_that_are_not_there_are_no_warning():
    """Ray imports tqdm, which looks for them in the kernel of a notebook."""
    script = (
        "import sys, types\n"
        "shell = types.SimpleNamespace(kernel=None)\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell)\n"
        "sys.modules |= {'ipykernel.zmqshell': types.ModuleType('shell'), 'ipywidgets': None}\n"
        "import reinforce.cluster.backends.ray, tqdm.auto\n"
        "assert 'ray' not in sys.modules\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.ray
@pytest.mark.slow
def test_it_runs_and_its_environment_is_heard_here_and_from_ray(tmp_path):
    notebook = nbformat.read(NOTEBOOK, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=250, resources=resources).execute()
    inline, on_ray = (
        next(
            cell
            for cell in notebook.cells
            if cell.cell_type == "code" and f'backend="{backend}"' in cell.source
        )
        for backend in ("inline", "ray")
    )

    # The cell after them asserts that their weights are the same.
    for cell in (inline, on_ray):
        assert "Warning" not in text_of(cell)
        assert "status      finished (max_updates)\n" in text_of(cell)
        panel = text_of(cell, "display_data")
        assert panel.count("update 30 of") == 1  # replaced, and not repeated
        assert not re.search(r"[\r\x1b]", text_of(cell) + panel)
        assert len(text_of(cell).splitlines()) < 20
    assert "[worker" not in text_of(inline)
    assert "a corridor is made\n" in text_of(inline)
    pattern = r"^\[worker [01]\] a corridor is made$"
    assert re.search(pattern, text_of(on_ray), re.MULTILINE)
