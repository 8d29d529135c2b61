"""A lane is one topic, one group and one workload. Its names stand in one table; everything else must repeat them."""

import re
from collections.abc import Iterator
from pathlib import Path

from genescale.events.topics import LANES, TOPICS

ROOT = Path(__file__).parents[2]
PLACES = (
    "README.md",
    "src",
    "docs",
    "web/src",
    "web/public",
    "deploy",
)  # those that do not exist yet join when they do
WRITTEN_IN = {".py", ".md", ".json", ".toml", ".yaml", ".yml", ".ts", ".svelte", ".html", ".conf"}

# What can only be the name of a topic, a group or a workload.
NAME = re.compile(
    r"(?<![\w./-])(genetic-[a-z][a-z-]*[a-z]|vep-[a-z-]*group|worker-[a-z][a-z-]*[a-z]|[a-z]+-events)(?![\w-])"
)


def written() -> Iterator[tuple[Path, str]]:
    for place in PLACES:
        top = ROOT / place
        files = [top] if top.is_file() else sorted(top.rglob("*"))
        for path in files:
            if path.suffix in WRITTEN_IN and "node_modules" not in path.parts:
                yield path, path.read_text(encoding="utf-8")


def test_one_lane_has_one_topic_one_group_and_one_workload() -> None:
    for attribute in ("name", "topic", "group", "workload"):
        values = [getattr(lane, attribute) for lane in LANES]
        assert len(values) == len(set(values)), attribute


def test_every_lane_has_its_topic_and_room_for_enough_workers() -> None:
    topics = {topic.name: topic for topic in TOPICS}
    assert len(topics) == len(TOPICS)
    for lane in LANES:
        assert topics[lane.topic].partitions >= 24, lane
        assert topics[lane.topic].power_safe, f"{lane}: accepted work survives a power cut"
        assert topics[lane.topic].cleanup == "delete", lane


def test_names_are_fit_for_kafka_kubernetes_and_file_names() -> None:
    names = {topic.name for topic in TOPICS} | {name for lane in LANES for name in (lane.group, lane.workload)}
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", name)] == []


def test_every_name_that_is_written_anywhere_stands_in_the_table() -> None:
    known = {topic.name for topic in TOPICS} | {name for lane in LANES for name in (lane.group, lane.workload)}
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in written()
        for name in NAME.findall(text)
        if name not in known
    }
    assert strangers == set(), "a lane's names come from src/genescale/events/topics.py"


def test_a_misspelt_name_would_be_found() -> None:
    assert NAME.findall("to `genetic-urgnt-raw`, worker-urgent and vep-service-grop") == [
        "genetic-urgnt-raw",
        "worker-urgent",
    ]
    assert NAME.findall("genetic-data-raw/7/1042, (usage-events), tests/worker-x.py") == [
        "genetic-data-raw",
        "usage-events",
    ]
