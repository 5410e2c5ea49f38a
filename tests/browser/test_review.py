"""MLflow's pages in a real browser with a fresh profile, as a reviewer sees them.

``make browser-test`` runs this; the screenshots of docs/tracking.md are its own.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MLflowServer
from PIL import Image

from reinforce.cluster.files import read_json
from reinforce.cluster.run_store.run_directory import RunDirectory
from reinforce.cluster.tracking.store import TrackingStore, newest_runs

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1200),  # the first test waits for six runs
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium and chromedriver are not installed",
    ),
]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PATIENCE_S = 90


BASE = """
environment: {id: CartPole-v1}
learner: {episodes_per_update: 32}
stop: {max_updates: 4}
cluster: {backend: inline}
"""
SWEEP = """
base: base.yaml
settings: {learner.learning_rate: [0.003, 0.03], learner.baseline: [time, none]}
"""


def reinforce(folder, *command):
    subprocess.run(
        [sys.executable, "-m", "reinforce", *command],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, request):
    """Two finished runs, with their films, and a sweep, on a server that shows them."""
    pytest.importorskip("av", reason="PyAV, of the extra video, is not installed")
    folder = tmp_path_factory.mktemp("review")
    server = MLflowServer(folder, f"sqlite:///{folder}/mlflow.db")
    runs = []
    for seed in ("0", "1"):
        settings = ["--cluster.backend", "inline", "--evaluation.video", "true"]
        about = ["--run.seed", seed, "--run.name", f"seed-{seed}"]
        reinforce(folder, "train", "cartpole", *settings, *about)
        runs.append(RunDirectory(folder / "runs" / f"seed-{seed}"))
    (folder / "base.yaml").write_text(BASE)
    (folder / "steps.yaml").write_text(SWEEP)
    reinforce(folder, "sweep", "steps.yaml", "--parallel", "2")
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
        # With a mouse, as on a desk: without one, every chart has its toolbar across it.
        "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4",
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
        browser.set_window_size(1440, 1300)
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

    def screenshot(self, name, height=1300):
        self._browser.set_window_size(1440, height)
        self._browser.execute_script(  # the assistant's panel
            "document.querySelectorAll('button').forEach("
            "button => { if (/^close/i.test(button.ariaLabel || '')) button.click(); })"
        )
        time.sleep(2)  # charts are drawn with an animation
        IMAGES.mkdir(exist_ok=True)
        picture = Image.open(io.BytesIO(self._browser.get_screenshot_as_png()))
        picture.convert("RGB").quantize(256).save(IMAGES / f"{name}.png", optimize=True)


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


def sections_of(text):
    """The titles of the sections of charts, such as "learner (9)", in their order."""
    return re.findall(r"^(\w+)\s+\(\d+\)$", text, re.MULTILINE)


def test_metrics_are_lines_in_sections_with_the_returns_first(reviewed, browser):
    server, (run, _) = reviewed

    page = Page(browser, address(server, run, tab="/model-metrics"))

    page.wait_for("batch", "return_mean", "evaluation", "time")
    page.wait_until("return document.querySelectorAll('.scatterlayer .trace path.js-line').length")
    page.screenshot("run-metrics")
    shown = sections_of(page.text())
    assert shown == ["batch", "evaluation", "learner", "progress", "tickets", "time"]
    assert "confirmed" not in page.text()


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
    page.screenshot("compare-runs", height=900)


def link_to_runs(server, run):
    store = TrackingStore.in_file(run.path.parents[1] / "mlflow.db", is_default=True)
    return newest_runs(store).replace("http://127.0.0.1:5000", server.uri)


def titles_of_columns(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.ag-header-row-column .ag-header-cell')].sort("
        "(a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)"
        ".map(cell => cell.innerText.trim()).filter(Boolean)"
    )


def test_the_list_of_runs_has_status_return_and_steps_in_its_first_columns(reviewed, browser):
    server, (run, _) = reviewed

    page = Page(browser, link_to_runs(server, run))

    page.wait_for("seed-0", "seed-1", "progress/environment_steps")
    page.screenshot("experiment-runs", height=660)
    assert titles_of_columns(browser)[:5] == [
        *("Run Name", "Created", "evaluation/return_best", "batch/return_mean"),
        "progress/environment_steps",
    ]


def test_charts_of_several_runs_begin_with_the_returns(reviewed, browser):
    server, (run, _) = reviewed

    page = Page(browser, link_to_runs(server, run) + "&compareRunsMode=CHART")

    page.wait_for("seed-0", "seed-1", "batch/return_mean", "batch/return_max")
    page.wait_until(
        "return document.querySelectorAll('.scatterlayer .trace path.js-line').length >= 2"
    )
    page.screenshot("experiment-charts")
    text = page.text()
    assert sections_of(text)[:3] == ["batch", "evaluation", "learner"]
    assert text.index("batch/return_mean") < text.index("batch/episode_length_mean")


def test_trials_of_a_sweep_are_rows_and_bars_the_best_first(reviewed, browser):
    server, (run, _) = reviewed
    state = read_json(run.path.parents[1] / "sweeps" / "steps" / "tracking.json")
    link = state["link"].replace("http://127.0.0.1:5000", server.uri)
    score = "metrics.`sweep/score`"
    parent = f"tags.`mlflow.parentRunId` = '{state['run_id']}'"
    trials = MlflowClient(server.uri).search_runs(
        [state["experiment_id"]], parent, order_by=[f"{score} DESC"]
    )

    page = Page(browser, link)

    page.wait_for(*(trial.info.run_name for trial in trials), "Parallel Coordinates")
    page.wait_until("return document.querySelectorAll('.bars .point').length == 4")
    page.screenshot("sweep-trials", height=1000)
    text = page.text()
    places = [text.index(trial.info.run_name) for trial in trials]
    assert len(trials) == 4
    assert places == sorted(places)
    assert sections_of(text)[0] == "sweep"
