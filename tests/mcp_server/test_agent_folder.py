"""An agent sends no file of the machine but those that a person has put there for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luma_async import GenerateRequest, InvalidRequestError
from luma_async.mcp_server import AgentFolder
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR
from tests.mcp_server.sessions import session
from tests.media.image_files import an_image

REFUSED = [
    "/etc/passwd",
    "../secret.png",
    "cats/../../secret.png",
    "link.png",
    "folder/secret.png",
    "../videos-of-others/secret.png",
    "/nowhere/at/all.png",
    "half a character \ud800.png",
]
"""Paths outside of the folder: absolute, relative, through links, and one that does not exist. The
last one is not a valid path."""

ALLOWED = ["https://host/cat.png", "generation:some-id", "data:image/png;base64,iVBORw0KGgo="]


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    place = tmp_path / "videos"
    (place / "cats").mkdir(parents=True)
    (tmp_path / "videos-of-others").mkdir()
    (tmp_path / "images").mkdir()
    for path in ("secret.png", "videos-of-others/secret.png", "videos/cat.png", "images/dog.png"):
        (tmp_path / path).write_bytes(an_image())
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    (place / "folder").symlink_to(tmp_path)
    (place / "alias.png").symlink_to(place / "cat.png")
    (place / "loop.png").symlink_to(place / "loop.png")
    return AgentFolder(place, image_folders=[tmp_path / "images"])


async def test_only_files_in_the_folders_are_sent(folder: AgentFolder, tmp_path: Path) -> None:
    """A path that is refused has the same text, whether a file is there or not."""
    texts = set()
    for path in REFUSED:
        with pytest.raises(InvalidRequestError, match="Other files of this machine") as refused:
            await folder.with_allowed_files(GenerateRequest("a cat", image=path))
        texts.add(str(refused.value))
    assert len(texts) == 1

    for path in ("cat.png", "cats/../cat.png", "alias.png", str(folder.path / "cat.png")):
        allowed = await folder.with_allowed_files(GenerateRequest("a cat", image=path))
        assert allowed.image == str(folder.path / "cat.png")
    other = str(tmp_path / "images" / "dog.png")
    request = await folder.with_allowed_files(GenerateRequest("a dog", keyframes={3: other}))
    assert request.keyframes == {3: other}

    for image in ALLOWED:
        same = GenerateRequest("a cat", image=image)
        assert await folder.with_allowed_files(same) is same


async def test_a_tool_applies_it_to_every_image(folder: AgentFolder, tmp_path: Path) -> None:
    """Also to references, keyframes and the file to work on, and to links with `file://`."""
    secret = str(tmp_path / "secret.png")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("generate_video", {"image": secret}),
        ("generate_video", {"image_end": f"file://{secret}"}),
        ("generate_video", {"keyframes": {"0": secret}}),
        ("generate_image", {"references": ["cat.png", secret]}),
        ("generate_image", {"references": ["cat.png", f"file://{secret}"]}),
        ("edit_image", {"media": secret}),
        ("edit_video", {"media": f"file://localhost{secret}"}),
        ("extract_layers", {"media": secret}),
    ]
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        session(sim, tmp_path, dialect="agents") as agent,
    ):
        for tool, images in calls:
            said = await agent.refusal(tool, key="cat", prompt="a cat", **images)
            assert "Other files of this machine are not sent" in said
        said = await agent.refusal("generate_video", key="cat", prompt="a cat", image="loop.png")
        assert said.startswith("image: cannot be read")
        uri = (folder.path / "cat.png").as_uri().replace("file", "FILE")
        sent = await agent.ask("generate_video", key="cat", prompt="a cat", image=uri)

        (job,) = sim.ledger.jobs
    assert sent["submitted"]
    assert "keyframes" in str(job.request) or "frame" in str(job.request)


async def test_downloads_stay_in_the_folder(tmp_path: Path) -> None:
    """The id makes the name; an id that is a path leads nowhere. Nothing is overwritten."""
    async with (
        Simulator(durations=Fixed(HOUR), short_side=64, same_films=True) as sim,
        session(sim, tmp_path) as agent,
    ):
        id = await agent.completed(sim, "cat")
        mine = tmp_path / "videos" / f"{id}.mp4"
        mine.parent.mkdir()
        mine.write_text("mine")
        kept = await agent.ask("download_files", job="cat")
        still = await agent.ask("download_files", job="cat", what="thumbnail")
        outside = await agent.refusal("download_files", job="../../cat")
        named = await agent.refusal("download_files", job="cat", folder="/")

    assert mine.read_text() == "mine"
    assert [file["path"] for file in kept["files"]] == [str(mine)]
    assert Path(still["files"][0]["path"]).parent == mine.parent
    assert "404" in outside or "not" in outside
    assert "folder: is not an argument" in named
    assert {path.name for path in tmp_path.iterdir()} >= {"videos", "jobs.db"}
    assert not list(tmp_path.glob("*.mp4"))
