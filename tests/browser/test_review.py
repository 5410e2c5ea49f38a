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

from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory

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


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, request):
    """Two finished runs, with their films, on a server that shows them."""
    pytest.importorskip("av", reason="PyAV, of the extra video, is not installed")
    folder = tmp_path_factory.mktemp("review")
    server = MLflowServer(folder, f"sqlite:///{folder}/mlflow.db")
    runs = []
    for seed in ("0", "1"):
        command = [sys.executable, "-m", "reinforce", "train", "cartpole", "--run.seed", seed]
        subprocess.run(
            [
                *[*command, "--cluster.backend", "inline", "--run.name", f"seed-{seed}"],
                *["--evaluation.video", "true"],
            ],
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


@pytest.mark.parametrize("file", ["episode_length", "overview"])
def test_the_pictures_of_the_run_are_shown(reviewed, browser, file):
    server, (run, _) = reviewed

    page = Page(browser, address(server, run, tab=f"/artifacts/plots/{file}.png"))

    page.wait_until(
        "return [...document.images].some(image => image.naturalWidth > 600 && image.complete)"
    )


def test_the_film_of_the_last_policy_plays(reviewed, browser):
    server, (run, _) = reviewed
    films = sorted(path.name for path in run.videos.glob("*.mp4"))
    assert len(films) == 2  # of the last and of the best weights
    (film,) = [name for name in films if "_best" not in name]

    page = Page(browser, address(server, run, tab=f"/artifacts/videos/{film}"))

    width, height, played_s = page.wait_until(
        "const video = document.querySelector('video');"
        "if (!video || !video.videoWidth) return null;"
        "video.muted = true; video.play();"
        "return video.currentTime > 0 && [video.videoWidth, video.videoHeight, video.currentTime]"
    )
    assert (width, height) == (600, 400)  # CartPole's own picture
    assert played_s > 0


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
