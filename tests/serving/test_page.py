"""The page in a real browser: choosing, dropping and pasting files, keyboard, errors, narrow screen, dark mode."""
from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.conftest import Server

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, server: Server) -> Iterator:
    errors: list[str] = []
    page = browser.new_page(viewport=PHONE, color_scheme="dark")
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Security" in message.text else None)
    page.goto(server.address)
    yield page
    page.close()
    assert not errors


def headings(page, count: int) -> list[str]:
    """Wait for `count` results, and return their headings."""
    from playwright.sync_api import expect
    expect(page.locator("#results h2")).to_have_count(count, timeout=20_000)
    return [text.split("\n")[0] for text in page.locator("#results h2").all_inner_texts()]


def test_photos_get_labels_and_bars_and_other_files_get_an_error(page, retrained: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    photos = [retrained / "photos" / label / "003.jpg" for label in ("red", "blue")]
    page.set_input_files("#files", [str(path) for path in (*photos, tmp_path / "text.jpg")])
    assert headings(page, 3) == ["red", "blue", "This file cannot be labelled"]
    assert page.inner_text("#status") == "2 of 3 photos labelled."
    assert "Not a photo in a supported format." in page.inner_text("#results")
    assert page.locator("#results tr").count() == 6 and page.locator("#results progress").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_single_file_that_is_not_a_photo_gets_an_error(page, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    page.set_input_files("#files", str(tmp_path / "text.jpg"))
    assert headings(page, 1) == ["This file cannot be labelled"]


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_photos_can_be_dropped_and_pasted(kind: str, page, retrained: Path) -> None:
    data = base64.b64encode((retrained / "photos" / "green" / "004.jpg").read_bytes()).decode()
    page.evaluate("""([kind, data]) => {
        const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "a.jpg", {type: "image/jpeg"}));
        document.dispatchEvent(kind === "drop"
          ? new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true})
          : new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}));
    }""", [kind, data])
    assert headings(page, 1) == ["green"]


def test_the_keyboard_opens_the_file_chooser_and_screen_readers_get_the_label(page, retrained: Path) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Space")
    chosen.value.set_files(str(retrained / "photos" / "red" / "005.jpg"))
    assert headings(page, 1) == ["red"]
    status = page.locator("#status")
    assert status.get_attribute("role") == "status" and status.inner_text() == "red"
    assert page.locator("label[for=files]").inner_text().startswith("Choose photos")


def test_an_unreachable_server_is_reported(page, retrained: Path) -> None:
    page.route("**/label", lambda route: route.abort())
    page.set_input_files("#files", str(retrained / "photos" / "red" / "005.jpg"))
    from playwright.sync_api import expect
    expect(page.locator("#status")).to_have_text("The server cannot be reached.")


def test_file_names_are_escaped(page, retrained: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='hit'>.jpg"
    shutil.copy(retrained / "photos" / "red" / "005.jpg", tmp_path / name)
    page.set_input_files("#files", str(tmp_path / name))
    assert headings(page, 1) == ["red"]
    assert name in page.inner_text("#results") and page.title() == "What is in this photo?"


def test_light_and_dark_mode_differ(page, server: Server, browser) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = browser.new_page(color_scheme="light")
    light.goto(server.address)
    assert light.evaluate(background) == "rgb(255, 255, 255)" != page.evaluate(background)
    light.close()
