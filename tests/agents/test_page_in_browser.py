"""The page in a headless Chromium: what the slider, the keys and the choices change, and that nothing leaves it."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest

from agents.page.data import Numbers, page_data, record
from agents.page.render import render
from agents.runs import Restored
from sobolev import metrics
from sobolev.environments import Environment, PointMass, make_brax, make_gymnasium, perturbations
from sobolev.metrics import MSMMD, DirectionSearch
from sobolev.training import TrainConfig, build
from tests.helpers import tiny_agent

webdriver = pytest.importorskip("selenium.webdriver", reason="the page is tried in a browser by selenium")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FRAMES = 6
PANES = ("body", "fan", "cloud", "slopes")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A browser that keeps what its console says and what it asks the network for."""
    from selenium.webdriver.chrome.service import Service

    browser, chromedriver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("there is no Chromium with its chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield found
    found.quit()


def write_page(env: Environment, folder: Path, metric: metrics.Metric) -> Path:
    """The page of an agent that has learned nothing yet."""
    noise = perturbations.AdditiveDynamics if isinstance(env, PointMass) else None
    job = build(TrainConfig(agent=tiny_agent(metric=metric), environment=env, noise=noise, episode_length=12))
    numbers = Numbers(frames=FRAMES, samples=8, rollouts=4, horizon=4)
    shown = record(job, Restored(3, 40, job.agent.init(jax.random.key(0))), horizon=4)
    path = folder / "page.html"
    path.write_text(render(page_data(job, shown, "a run & more", numbers)))
    return path


TASKS: dict[str, Callable[[], Environment]] = {
    "mujoco": partial(make_gymnasium, "Reacher-v5"),
    "brax": partial(make_brax, "reacher"),
    "point mass": PointMass,
}


@pytest.fixture(scope="module", params=TASKS)
def page(request: pytest.FixtureRequest, driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The browser with a page of this task, and what was logged on the way."""
    metric = metrics.MMD() if request.param == "brax" else MSMMD(search=DirectionSearch(num_directions=4))
    path = write_page(TASKS[request.param](), tmp_path_factory.mktemp("page"), metric)
    assert path.stat().st_size < 10_000_000
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(path.as_uri())
    return driver


def contents(page: Any) -> dict[str, str]:
    """What stands in each pane, and beside the slider."""
    return {
        name: page.execute_script("return document.getElementById(arguments[0]).innerHTML", name)
        for name in (*PANES, "now")
    }


def press(page: Any, key: str, *, shift: bool = False) -> int:
    """Presses a key; the step at which the page is afterwards."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    chain = ActionChains(page)
    held = chain.key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT) if shift else chain.send_keys(key)
    held.perform()
    return step_of(page)


def step_of(page: Any) -> int:
    return int(page.execute_script("return document.getElementById('slider').value"))


def data_of(page: Any) -> dict[str, Any]:
    return json.loads(page.execute_script("return document.getElementById('data').textContent"))


def to_step(page: Any, step: int) -> None:
    """Drags the slider."""
    page.execute_script(
        "const slider = document.getElementById('slider'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))",
        step,
    )


def test_the_slider_moves_every_pane(page: Any) -> None:
    times, seen = data_of(page)["times"], []
    for t in times:
        to_step(page, t)
        seen.append(contents(page))
    assert len(times) == FRAMES
    for name in (*PANES, "now"):
        assert len({found[name] for found in seen}) == FRAMES, name
    to_step(page, times[1] + 1)  # between two looks the body and the slider's text go on, samples and slopes wait
    between = contents(page)
    assert {name for name in between if between[name] == seen[1][name]} == {"cloud", "slopes"}


def test_the_keys_move_the_slider(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    times = data_of(page)["times"]
    assert press(page, Keys.HOME) == 0
    assert press(page, Keys.ARROW_RIGHT) == times[1]
    assert press(page, Keys.ARROW_RIGHT) == times[2]
    assert press(page, Keys.ARROW_LEFT) == times[1]
    assert press(page, Keys.ARROW_RIGHT, shift=True) == times[1] + 1
    assert press(page, Keys.ARROW_LEFT) == times[1]
    assert press(page, Keys.END) == times[-1]
    assert press(page, Keys.ARROW_RIGHT) == times[-1]
    assert press(page, Keys.PAGE_UP) == 0
    assert press(page, Keys.PAGE_DOWN) == times[-1]


def test_play_goes_through_the_episode_and_stops(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    press(page, Keys.HOME)
    assert page.execute_script("return document.getElementById('play').textContent") == "Play"
    press(page, Keys.SPACE)
    WebDriverWait(page, 10).until(lambda found: step_of(found) > 1)
    press(page, Keys.SPACE)
    assert page.execute_script("return document.getElementById('play').textContent") == "Play"


def test_the_choices_change_their_panes(page: Any) -> None:
    def choose(name: str, value: str) -> dict[str, str]:
        page.execute_script(
            "const choice = document.getElementById(arguments[0]); choice.value = arguments[1];"
            "choice.dispatchEvent(new Event('change'))",
            name,
            value,
        )
        return contents(page)

    first, second = choose("component", "1"), choose("component", "2")
    assert {name for name in first if first[name] != second[name]} == {"cloud"}
    if data_of(page)["motion"] is None:
        assert not page.find_element("id", "view").is_displayed()
        return
    above, side = choose("view", "above"), choose("view", "side")
    assert {name for name in above if above[name] != side[name]} == {"body"}
    assert above["body"].count("<polygon") == side["body"].count("<polygon") > 3


def test_every_pane_says_what_it_is(page: Any) -> None:
    for figure in page.find_elements("tag name", "figure"):
        assert figure.find_element("tag name", "h2").text
        assert len(figure.find_element("tag name", "figcaption").text) > 60
        assert figure.find_element("tag name", "svg").get_attribute("aria-label")
    assert "a run & more, seed 3" in page.title
    text = page.find_element("tag name", "body").text
    assert not any(word in text for word in ("undefined", "NaN", "null", "Infinity"))


@pytest.mark.parametrize("width", [360, 1280])
def test_no_pane_is_wider_than_the_window(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_script("window.dispatchEvent(new Event('resize'))")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.execute_script("return document.querySelector('#fan svg').viewBox.baseVal.width") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_is_light_or_dark_as_the_reader_has_it(page: Any) -> None:
    def brightness(scheme: str) -> dict[str, float]:
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
        script = (
            "const of = (color) => color.match(/\\d+/g).slice(0, 3).reduce((sum, x) => sum + Number(x), 0) / 765;"
            "const style = getComputedStyle(document.body);"
            "return {text: of(style.color), back: of(style.backgroundColor)}"
        )
        return page.execute_script(script)

    light, dark = brightness("light"), brightness("dark")
    assert light["text"] < 0.3 < 0.7 < light["back"]
    assert dark["back"] < 0.3 < 0.7 < dark["text"]


def test_nothing_leaves_the_page_and_nothing_could(page: Any) -> None:
    """Last, since what it tries is written to the console."""
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert asked == [page.current_url]
    assert page.get_log("browser") == []
    tried = page.execute_async_script(
        "const done = arguments[0]; fetch('https://example.com/').then(() => done('sent'), () => done('refused'))"
    )
    image = page.execute_async_script(
        "const done = arguments[0], image = new Image(); image.onload = () => done('sent');"
        "image.onerror = () => done('refused'); image.src = 'https://example.com/image.png'"
    )
    assert (tried, image) == ("refused", "refused")
    told = "\n".join(entry["message"] for entry in page.get_log("browser"))
    assert told.count("Content Security Policy") >= 2
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    assert not [each for each in messages if each["method"] == "Network.responseReceived"]
