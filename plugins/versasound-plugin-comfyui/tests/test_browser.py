"""The nodes in ComfyUI's own page, in a real browser.

`VERSASOUND_RECORD=1` writes the example workflow as the page saves it, and the pictures of the documentation.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from comfyui_support import packages
from comfyui_support import server as comfy_server

from versasound_core.scenes import random_scene, write_scene

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(comfy_server.where() is None, reason="COMFYUI_PATH names no ComfyUI to open"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "docs" / "images"
WORKFLOWS = Path(__file__).parents[1] / "versasound_plugin_comfyui" / "custom_node" / "example_workflows"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CLIP, NAME = "clip.mp4", "add_sound_to_video"
GRAPH = {
    "1": {"class_type": "LoadVideo", "inputs": {"file": CLIP}, "_meta": {"title": "Load Video"}},
    "2": {"class_type": "VersaSound_AddSoundToVideo", "inputs": {"video": ["1", 0]}},
    "3": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0], "filename_prefix": "with_sound"}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
}
# Where a widget is on the screen, from the page's own state.
WHERE = """name => {
    const node = window.app.graph._nodes.find(node => node.type === "VersaSound_AddSoundToVideo");
    const widget = node.widgets.find(widget => widget.name === name);
    const ds = window.app.canvas.ds, box = window.app.canvas.canvas.getBoundingClientRect();
    const x = node.pos[0] + node.size[0] / 2, y = node.pos[1] + (widget.last_y ?? widget.y) + 10;
    return [box.left + (x + ds.offset[0]) * ds.scale, box.top + (y + ds.offset[1]) * ds.scale];
}"""
# Room under "Save Video", which grows when it shows what it saved.
ROOM = """() => {
    const find = type => window.app.graph._nodes.find(node => node.type === type);
    const [save, text] = [find("SaveVideo"), find("PreviewAny")];
    text.pos = [save.pos[0], save.pos[1] + 400];
    text.size = [save.size[0], 200];
    window.app.canvas.setDirty(true, true);
}"""
WIDGETS = """() => window.app.graph._nodes.find(node => node.type === "VersaSound_AddSoundToVideo")
    .widgets.filter(widget => !widget.hidden).map(widget => widget.name)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from versasound_plugin_comfyui.install import install

    base = tmp_path_factory.mktemp("comfyui")
    (base / "custom_nodes").mkdir()
    install(base)
    (base / "site").mkdir()
    with comfy_server.Server(base, {"PYTHONPATH": str(base / "site"), "OMP_NUM_THREADS": "1"}) as running:
        running.site = base / "site"
        write_scene(random_scene(1, 4.0), base / "input" / CLIP, fps=24, height=240)
        running.post("settings/Comfy.TutorialCompleted", True)
        running.post("settings/Comfy.Minimap.Visible", False)
        yield running


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(server, browser):
    tab = browser.new_page(viewport={"width": 1500, "height": 1000})
    open_graph(tab, server)
    yield tab
    tab.close()


def open_graph(tab, server):
    tab.goto(server.url)
    tab.wait_for_function("!!(window.app?.graph && window.app?.canvas && window.LiteGraph)", timeout=120_000)
    tab.wait_for_function("'VersaSound_AddSoundToVideo' in window.LiteGraph.registered_node_types", timeout=60_000)
    tab.wait_for_timeout(1500)
    tab.evaluate("graph => window.app.loadApiJson(graph, 'sound')", GRAPH)
    tab.wait_for_function("window.app.graph._nodes.length === 4", timeout=30_000)
    tab.wait_for_timeout(1000)
    tab.evaluate(ROOM)
    tab.wait_for_timeout(500)


def entries(tab, role):
    """Open a drop-down, and read it."""
    tab.mouse.click(*tab.evaluate(WHERE, role))
    menu = tab.locator(".litecontextmenu")
    menu.wait_for(timeout=10_000)
    return [text.strip() for text in menu.locator(".litemenu-entry").all_inner_texts()]


def picture(tab, name):
    if os.environ.get("VERSASOUND_RECORD"):
        PICTURES.mkdir(exist_ok=True)
        tab.screenshot(path=str(PICTURES / f"{name}.png"), clip={"x": 445, "y": 150, "width": 1055, "height": 800})


def test_every_drop_down_opens(page):
    first = {"encoder": "motion", "generator": "foley", "aligner": "cross_correlation", "refiner": "mastering"}
    for role, name in first.items():
        offered = entries(page, role)
        assert offered[0] == name
        assert ("none" in offered) is (role in {"aligner", "refiner"})
        picture(page, f"comfyui_{role}")
        page.keyboard.press("Escape")
        page.mouse.click(600, 900)
        page.wait_for_timeout(300)


def test_a_choice_shows_its_own_options(page):
    assert {"aligner.max_offset_s", "aligner.adaptive"} <= set(page.evaluate(WIDGETS))
    offered = entries(page, "aligner")
    page.locator(".litecontextmenu .litemenu-entry").nth(offered.index("none")).click()
    page.wait_for_timeout(500)
    assert not [name for name in page.evaluate(WIDGETS) if name.startswith("aligner.")]


def test_the_graph_runs_from_the_page(page, server):
    page.get_by_role("button", name="Run", exact=True).first.click()
    made = server.base / "output"
    for _ in range(200):
        if list(made.glob("with_sound*.mp4")):
            break
        page.wait_for_timeout(200)
    assert list(made.glob("with_sound*.mp4"))
    page.wait_for_function("() => window.app.graph._nodes.find(node => node.type === 'PreviewAny').widgets[0].value")
    page.wait_for_timeout(8000)  # the panel of jobs goes by itself
    picture(page, "comfyui")
    if os.environ.get("VERSASOUND_RECORD"):
        from PIL import Image

        with Image.open(PICTURES / "comfyui.png") as shot:
            shot.convert("RGB").resize((shot.width * 2 // 3, shot.height * 2 // 3)).save(WORKFLOWS / f"{NAME}.jpg")


def test_a_plugin_installed_meanwhile_is_there_after_a_reload(page, server):
    assert "late" not in entries(page, "generator")
    packages.install(server.site, "late", packages.SLOW, packages.SLOW_OPTIONS)
    open_graph(page, server)
    offered = entries(page, "generator")
    assert "late" in offered
    picture(page, "comfyui_plugin")
    page.locator(".litecontextmenu .litemenu-entry").nth(offered.index("late")).click()
    page.wait_for_timeout(500)
    assert "generator.steps" in page.evaluate(WIDGETS)


def test_example_workflow_opens(page):
    saved = WORKFLOWS / f"{NAME}.json"
    if os.environ.get("VERSASOUND_RECORD"):
        graph = page.evaluate("() => window.app.graph.serialize()")
        saved.write_text(json.dumps(graph, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    graph = json.loads(saved.read_text(encoding="utf-8"))
    page.evaluate("graph => window.app.loadGraphData(graph)", graph)
    page.wait_for_timeout(1500)
    names = page.evaluate("() => window.app.graph._nodes.map(node => [node.type, node.has_errors ?? false])")
    assert sorted(name for name, _ in names) == sorted(node["class_type"] for node in GRAPH.values())
    assert not any(errors for _, errors in names)
