"""MLflow's pages in a real browser with a fresh profile, as a reviewer sees them.

``make browser-test`` runs this; the screenshots of docs/tracking.md are its own.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow_server import MLflowServer

from cluster.records.run_directory import RunDirectory, read_json

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium and chromedriver are not installed",
    ),
]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PATIENCE_S = 90


def film(path):
    """A second of H.264 video; without PyAV there is none."""
    av = pytest.importorskip("av", reason="PyAV, of the extra video, is not installed")
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(10):
            picture = np.full((120, 160, 3), 25 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, request):
    """Two finished runs on a server that shows them."""
    folder = tmp_path_factory.mktemp("review")
    server = MLflowServer(folder, f"sqlite:///{folder}/mlflow.db")
    runs = []
    for seed in ("0", "1"):
        command = [sys.executable, "-m", "cluster", "train", "cartpole", "--run.seed", seed]
        subprocess.run(
            [*command, "--cluster.backend", "inline", "--run.name", f"seed-{seed}"],
            cwd=folder,
            env={**os.environ, "MLFLOW_TRACKING_URI": ""},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        runs.append(RunDirectory(folder / "runs" / f"seed-{seed}"))
    try:
        yield server.start(), runs
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = selenium.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"),
        *("--window-size=1440,1300", f"--user-data-dir={tmp_path_factory.mktemp('profile')}"),
    ):
        options.add_argument(argument)
    service = selenium.ChromeService(shutil.which("chromedriver"))
    driver = selenium.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE_S)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """One address in the browser."""

    def __init__(self, browser, address):
        self._browser = browser
        browser.get("about:blank")
        browser.get(address)

    def text(self):
        return self._browser.execute_script("return document.body.innerText")

    def wait_for(self, *texts):
        deadline = time.monotonic() + PATIENCE_S
        while not all(text in self.text() for text in texts):
            assert time.monotonic() < deadline, f"{texts} are not on the page:\n{self.text()}"
            time.sleep(0.5)

    def wait_until(self, script):
        deadline = time.monotonic() + PATIENCE_S
        while not (result := self._browser.execute_script(script)):
            assert time.monotonic() < deadline, f"{script} stays {result!r}:\n{self.text()}"
            time.sleep(0.5)
        return result

    def screenshot(self, name):
        self._browser.execute_script(
            "document.querySelectorAll('aside button, [class*=ssistant] button').forEach("
            "button => { if (/close/i.test(button.ariaLabel || '')) button.click(); })"
        )
        time.sleep(2)  # charts are drawn with an animation
        IMAGES.mkdir(exist_ok=True)
        self._browser.save_screenshot(str(IMAGES / f"{name}.png"))


def address(server, run, *, tab=""):
    state = read_json(run.tracking_file)
    path = f"#/experiments/{state['experiment_id']}/runs/{state['run_id']}{tab}"
    return f"{server.uri}/{path}?workflowType=machine_learning"


def test_the_link_that_training_prints_shows_the_note_and_the_settings(reviewed, browser):
    server, (run, _) = reviewed
    link = read_json(run.tracking_file)["link"].replace("http://127.0.0.1:5000", server.uri)

    page = Page(browser, link)

    page.wait_for("REINFORCE on", "How to repeat it", "mean return", "learner.learning_rate")
    page.screenshot("run-overview")


def test_metrics_are_lines_in_sections(reviewed, browser):
    server, (run, _) = reviewed

    page = Page(browser, address(server, run, tab="/model-metrics"))

    page.wait_for("evaluation", "learner", "rollout", "tickets", "time")
    page.wait_until("return document.querySelectorAll('.scatterlayer .trace path.js-line').length")
    page.screenshot("run-metrics")


def test_the_load_of_the_machine_is_in_its_own_tab(reviewed, browser):
    server, (run, _) = reviewed

    page = Page(browser, address(server, run, tab="/system-metrics"))

    page.wait_for("cpu_utilization_percentage")
    page.screenshot("run-system-metrics")


@pytest.mark.parametrize(
    ("file", "screenshot"), [("episode_length", "run-plot"), ("overview", "run-pictures")]
)
def test_the_pictures_of_the_run_are_shown(reviewed, browser, file, screenshot):
    server, (run, _) = reviewed

    page = Page(browser, address(server, run, tab=f"/artifacts/plots/{file}.png"))

    page.wait_until(
        "return [...document.images].some(image => image.naturalWidth > 600 && image.complete)"
    )
    page.screenshot(screenshot)


def test_a_video_plays(reviewed, browser):
    server, (run, _) = reviewed
    from mlflow import MlflowClient

    path = run.path / "step_000000001.mp4"
    film(path)
    run_id = read_json(run.tracking_file)["run_id"]
    store = f"sqlite:///{server.folder}/mlflow.db"
    MlflowClient(store).log_artifact(run_id, str(path), "videos")

    page = Page(browser, address(server, run, tab="/artifacts/videos/step_000000001.mp4"))

    width = page.wait_until(
        "const video = document.querySelector('video'); return video && video.videoWidth"
    )
    assert width == 160


def test_two_runs_are_compared(reviewed, browser):
    server, runs = reviewed
    states = [read_json(run.tracking_file) for run in runs]
    ids = ",".join(f'"{state["run_id"]}"' for state in states)
    experiment = states[0]["experiment_id"]

    page = Page(
        browser,
        f'{server.uri}/#/compare-runs?runs=[{ids}]&experiments=["{experiment}"]'
        "&workflowType=machine_learning",
    )

    page.wait_for("seed-0", "seed-1", "Parallel Coordinates")
    page.screenshot("compare-runs")


def test_the_list_of_runs_opens_on_runs_and_charts_them_together(reviewed, browser):
    server, runs = reviewed
    experiment = read_json(runs[0].tracking_file)["experiment_id"]

    page = Page(
        browser,
        f"{server.uri}/#/experiments/{experiment}/runs?workflowType=machine_learning"
        "&compareRunsMode=CHART",
    )

    page.wait_for("seed-0", "seed-1", "evaluation")
    page.wait_until(
        "return document.querySelectorAll('.scatterlayer .trace path.js-line').length >= 2"
    )
    page.screenshot("experiment-charts")
