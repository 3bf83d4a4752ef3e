"""What a build may replace, follow and tell: nothing but what slr wrote, and no file or path of somebody else's."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from safetensors.torch import load_file

from slr.building.checkpoint import build
from slr.building.manifest import MANIFEST_FILE, BuildManifest
from slr.building.model_card import Licence, Licences, find_licence, model_card
from slr.building.options import BuildOptions
from slr.cli.crc_output import build_command, pair_words
from slr.intervals import LayerInterval, Restoration
from slr.models.presets import resolve_pair
from slr.models.reference import ModelReference
from tests.conftest import CheckpointPairs

INTERVAL = LayerInterval(1, 3)
SECRET = "private key: 0123456789"


@pytest.fixture
def pair(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> tuple[Path, Path]:
    for path in checkpoint_pairs("qwen2"):
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / "base", tmp_path / "instruct"


@pytest.fixture
def built(pair: tuple[Path, Path], tmp_path: Path) -> Path:
    return build(resolve_pair(*pair), INTERVAL, tmp_path / "out").output_dir


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# Overwriting


def test_what_slr_wrote_is_replaced(pair: tuple[Path, Path], built: Path) -> None:
    other = LayerInterval(0, 1)
    build(resolve_pair(*pair), other, built, BuildOptions(overwrite=True))
    manifest = BuildManifest.model_validate_json((built / MANIFEST_FILE).read_text())
    assert manifest.interval == (0, 1)
    assert set(manifest.files) == contents(built).keys()


def _add(directory: Path, name: str) -> None:
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("precious")


DISTURBANCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (lambda out: _add(out, "notes.txt"), "holds notes.txt, which slr did not write"),
    "weights": (lambda out: _add(out, "other.safetensors"), "holds other.safetensors, which"),
    "a hidden file": (lambda out: _add(out, ".env"), r"holds \.env, which"),
    "a file in a folder": (lambda out: _add(out, "runs/1/x"), "holds runs, which"),
    "an empty folder": (lambda out: (out / "empty").mkdir(), "holds empty, which"),
    "a link": (lambda out: (out / "link").symlink_to("config.json"), "holds link, which"),
    "a link in place of a file": (
        lambda out: (
            (out / "config.json").rename(out.parent / "c"),
            (out / "config.json").symlink_to("../c"),
        ),
        r"holds config\.json, which",
    ),
    "a lost file": (lambda out: (out / "tokenizer.json").unlink(), r"lacks tokenizer\.json, which"),
    "no manifest": (lambda out: (out / MANIFEST_FILE).unlink(), "has no readable slr_manifest"),
    "another manifest": (lambda out: (out / MANIFEST_FILE).write_text("{}"), "has no readable slr_manifest"),
    "a manifest that is a link": (
        lambda out: (
            (out / MANIFEST_FILE).rename(out.parent / "m"),
            (out / MANIFEST_FILE).symlink_to("../m"),
        ),
        "has no readable slr_manifest",
    ),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_what_slr_did_not_write_is_not_replaced(
    pair: tuple[Path, Path], built: Path, disturbance: str
) -> None:
    disturb, message = DISTURBANCES[disturbance]
    disturb(built)
    before = contents(built)
    with pytest.raises(ValueError, match=message):
        build(resolve_pair(*pair), INTERVAL, built, BuildOptions(overwrite=True))
    assert contents(built) == before


def test_a_checkpoint_of_somebody_else_s_is_not_replaced(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(pair[1], other)
    with pytest.raises(ValueError, match=r"has no readable slr_manifest\.json"):
        build(resolve_pair(*pair), INTERVAL, other, BuildOptions(overwrite=True))
    assert contents(other) == contents(pair[1])


def test_an_empty_directory_may_be_written_to(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    build(resolve_pair(*pair), INTERVAL, tmp_path / "empty", BuildOptions(overwrite=True))


def test_a_link_is_not_written_through(pair: tuple[Path, Path], built: Path) -> None:
    link = built.with_name("link")
    link.symlink_to(built)
    before = contents(built)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="link is a link: give the directory that it leads to"):
            build(resolve_pair(*pair), INTERVAL, link, BuildOptions(overwrite=overwrite))
    dangling = built.with_name("dangling")
    dangling.symlink_to("nowhere")
    with pytest.raises(ValueError, match="dangling is a link"):
        build(resolve_pair(*pair), INTERVAL, dangling)
    assert contents(built) == before


@pytest.mark.parametrize("side", [0, 1])
def test_a_directory_that_a_source_links_into_is_not_replaced(
    pair: tuple[Path, Path], built: Path, side: int
) -> None:
    weights = pair[side] / "model.safetensors"
    weights.unlink()
    weights.symlink_to(built / "model.safetensors")
    before = contents(built)
    with pytest.raises(
        ValueError, match=r"would overwrite .*model\.safetensors, which the hybrid is made from"
    ):
        build(resolve_pair(*pair), INTERVAL, built, BuildOptions(overwrite=True))
    assert contents(built) == before


def test_a_source_is_not_replaced_though_slr_wrote_it(pair: tuple[Path, Path], built: Path) -> None:
    before = contents(built)
    with pytest.raises(ValueError, match="which the hybrid is made from"):
        build(resolve_pair(pair[0], built), INTERVAL, built, BuildOptions(overwrite=True))
    assert contents(built) == before


# Links in a checkpoint


@pytest.mark.parametrize("name", ["LICENSE-x", "tokenizer_more.json", "NOTICE", "chat_template.extra"])
def test_a_link_to_a_file_elsewhere_is_not_copied(pair: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text(json.dumps(SECRET))
    (pair[1] / name).symlink_to(tmp_path / "secret")
    with pytest.raises(
        ValueError, match=rf"{name} is a link that leads out of its checkpoint, and is not copied"
    ):
        build(resolve_pair(*pair), INTERVAL, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "instruct", "secret"}


def test_a_folder_that_is_a_link_elsewhere_is_not_copied(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x.jinja").write_text(SECRET)
    (pair[1] / "additional_chat_templates").symlink_to(tmp_path / "private")
    with pytest.raises(ValueError, match=r"x\.jinja is a link that leads out|leads out of its checkpoint"):
        build(resolve_pair(*pair), INTERVAL, tmp_path / "out")


def test_links_within_the_checkpoint_and_weights_elsewhere_are_followed(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (pair[1] / "LICENSE").write_text("terms")
    (pair[1] / "LICENSE-2").symlink_to("LICENSE")
    (pair[1] / "model.safetensors").rename(tmp_path / "weights")
    (pair[1] / "model.safetensors").symlink_to(tmp_path / "weights")
    output = build(resolve_pair(*pair), INTERVAL, tmp_path / "out").output_dir
    assert (output / "LICENSE-2").read_text() == "terms"
    assert not any(path.is_symlink() for path in output.iterdir())
    assert (tmp_path / "weights").exists()


def test_links_into_the_blobs_of_the_hub_s_cache_are_followed(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    repository = tmp_path / "models--a--b"
    snapshot = repository / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, path in enumerate(sorted(pair[1].iterdir())):
        path.rename(repository / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    (snapshot / "LICENSE").symlink_to("../../blobs/0")
    output = build(resolve_pair(pair[0], snapshot), INTERVAL, tmp_path / "out").output_dir
    assert "LICENSE" in contents(output)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_text(SECRET)
    (snapshot / "LICENSE-x").symlink_to(tmp_path / "blobs" / "x")
    with pytest.raises(ValueError, match="LICENSE-x is a link that leads out"):
        build(resolve_pair(pair[0], snapshot), INTERVAL, tmp_path / "out", BuildOptions(overwrite=True))


# What is told


def test_no_path_of_this_machine_is_written(tmp_path: Path, built: Path) -> None:
    told = [name for name, content in contents(built).items() if str(tmp_path).encode() in content]
    assert told == []
    manifest = BuildManifest.model_validate_json((built / MANIFEST_FILE).read_text())
    assert (manifest.base, manifest.instruct) == ("base", "instruct")
    card = (built / "README.md").read_text()
    assert "# instruct, layers 1:3 restored" in card
    assert "| base | base | none: a directory |" in card


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "model"),
        ("/usr", "usr"),
        ("/usr/lib", "usr-lib"),
        ("/tmp/-x", "tmp--x"),
        ("/-x", "x"),
        ("/.x", "x"),
    ],
)
def test_names_of_pairs(path: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.is_dir", lambda _: True)
    assert resolve_pair(path, path).name == name
    assert ModelReference(path).public_name == (Path(path).name or "model")


def test_the_printed_command_takes_no_model_for_an_option(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in pair:
        path.rename(path.with_name(f"-{path.name}"))
    spec = resolve_pair("-base", "-instruct")
    words = shlex.split(
        build_command(pair_words(spec), Restoration(INTERVAL), Path("found"), f"{spec.name}-slr")
    )
    assert words[2:4] == ["./-base", "./-instruct"]
    assert not words[words.index("--output") + 1].startswith(("-", "/", "."))


# Hostile text

HOSTILE = (
    "x\n---\nbase_model: evil/model\n---\n# Evil",
    "mit\nlicense_link: https://evil.example",
    "[click](https://evil.example)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![](https://evil.example/x.png)",
    "a | b | c",
    "`code` **bold** _x_",
    "https://evil.example",
    "www.evil.example",
    "$$x$$ \\(y\\)",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "'\"{}[],&*#?|-<>=!%@`",
    "x" * 100_000,
)


def manifest_named(base: str, instruct: str) -> BuildManifest:
    return BuildManifest(
        slr_version="1",
        architecture="LlamaForCausalLM",
        base=base,
        base_revision=None,
        instruct=instruct,
        instruct_revision=None,
        interval=(1, 2),
        num_layers=5,
        alpha=1.0,
        dtype="float32",
        notes=(),
        shards={},
        tensors={},
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_and_licences(text: str, tmp_path: Path) -> None:
    licence = tmp_path / "README.md"
    fields = {"license": "other", "license_name": text, "license_link": text}
    licence.write_text(f"---\n{json.dumps(fields)}\n---\n")
    found = find_licence(ModelReference(str(tmp_path)), tmp_path)
    assert found is not None
    card = model_card(manifest_named(text, text), "model.layers", Licences(found, found))
    data = ModelCard(card, ignore_metadata_errors=False).data.to_dict()
    assert data.keys() <= {"library_name", "pipeline_tag", "license", "license_name", "license_link", "tags"}
    assert data["license"] == "other"
    _, _, body = card.split("---\n", 2)
    plain = model_card(manifest_named("a", "b"), "model.layers", Licences(Licence("mit"), Licence("mit")))
    assert card.count("\n") <= plain.count("\n") + 6  # front matter of two more fields
    assert len(card) < len(plain) + 3000
    assert all(c.isprintable() or c == "\n" for c in card)
    for sign in ("<script", "<img", "https://evil", "www.evil", "**bold", "$$", "| b |"):
        assert sign not in body
    *_, plain_body = plain.split("---\n", 2)
    assert _markup(body) == _markup(plain_body)


def _markup(body: str) -> list[str]:
    """The kinds of all parts of a text that are more than text, in order, as a renderer finds them."""
    blocks = MarkdownIt("commonmark").enable("table").parse(body)
    return [part.type for block in blocks for part in (block, *(block.children or ())) if part.type != "text"]


@pytest.mark.parametrize(
    "front_matter",
    [
        "license: [mit, apache-2.0]",
        "license: {a: b}",
        "license: 5",
        "license: ''",
        "- a list",
        "[" * 5000,
        "license: !!python/object/apply:os.system ['true']",
        "\tlicense: mit",
    ],
)
def test_licences_that_are_none(front_matter: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front_matter}\n---\n")
    assert find_licence(ModelReference(str(tmp_path)), tmp_path) is None


def test_the_name_of_a_licence_that_is_a_list(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: [a, b]\nlicense_link: 5\n---\n")
    assert find_licence(ModelReference(str(tmp_path)), tmp_path) == Licence("other")


def test_a_card_that_is_a_link_elsewhere_or_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("---\nlicense: mit\n---\n")
    model = tmp_path / "model"
    model.mkdir()
    card = model / "README.md"
    card.symlink_to("../elsewhere")
    assert find_licence(ModelReference(str(model)), model) is None
    card.unlink()
    card.write_text("---\nlicense: mit\n---\n" + "x" * 1_000_001)
    assert find_licence(ModelReference(str(model)), model) is None


def test_a_hostile_card_does_not_reach_what_is_built(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for path in pair:
        (path / "README.md").write_text(
            "---\nlicense: mit\nlicense_name: 'a\n\n  ---\n\n  # b'\n---\n# Evil\n"
        )
    output = build(resolve_pair(*pair), INTERVAL, tmp_path / "out").output_dir
    assert ModelCard.load(output / "README.md").data.to_dict()["license"] == "mit"
    assert "Evil" not in (output / "README.md").read_text()
    assert load_file(output / "model.safetensors")
