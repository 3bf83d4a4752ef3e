"""Write the model card of a built checkpoint in the hub's format: what it is and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData, metadata_load
from yaml import YAMLError

from slr.building.hand_over import use_section
from slr.building.manifest import MANIFEST_FILE, BuildManifest
from slr.building.mergekit import equivalent_yaml
from slr.building.output_directory import leads_into_checkpoint
from slr.crc.report import ModelSummary
from slr.models.adapters.opening import WEIGHTS_FILE
from slr.models.hub import HubError, fetch_card
from slr.models.opened_pair import ModelSource
from slr.models.reference import ModelReference
from slr.statistics.uncertainty import Estimate
from slr.terminal.literal_text import in_markdown

CARD_FILE = "README.md"

MAX_CARD_BYTES = 1_000_000
"""Largest size in bytes of a model card that is searched for a licence."""
MAX_FIELD_LENGTH = 200
"""Number of characters that are kept of a field of somebody's model card."""

TAGS = ("merge", "selective-layer-restoration")

CITATION = """\
@misc{zhang2026layers,
  title         = {Not All Layers Need Tuning: Selective Layer Restoration Recovers Diversity},
  author        = {Zhang, Bowen and Wang, Meiyi and Soh, Harold},
  year          = {2026},
  eprint        = {2602.06665},
  archivePrefix = {arXiv},
}

@software{slr,
  title   = {slr: Selective Layer Restoration for language models},
  version = {%s},
}"""


@dataclass(frozen=True)
class Licence:
    """A licence as the front matter of a model card states it.

    Attributes:
        id: id in the hub's list, or "other".
        name: name of a licence that is not in the list.
        link: address of its text.
    """

    id: str
    name: str | None = None
    link: str | None = None

    def __str__(self) -> str:
        """Write the name, or the id of a licence without one."""
        return self.name or self.id


@dataclass(frozen=True)
class Licences:
    """Licences of the two models that a hybrid is made from.

    Attributes:
        base: licence of the base model; None if it is not known.
        instruct: licence of the instruct model or adapter; None if it is not known.
    """

    base: Licence | None = None
    instruct: Licence | None = None

    @property
    def common(self) -> Licence | None:
        """The licence of the hybrid, if both models have the same; otherwise None."""
        return self.base if self.base == self.instruct else None


def find_licence(reference: ModelReference, directory: Path) -> Licence | None:
    """Find the licence that the front matter of a model's README.md names; None if it is not known.

    Args:
        reference: the model. The README.md of a hub model is downloaded.
        directory: directory of the files of a local model.
    """
    if reference.directory is None:
        try:
            directory = fetch_card(reference)
        except HubError:  # the weights were in the cache, and the hub cannot be reached
            return None
    card = directory / CARD_FILE
    if (
        not card.is_file()
        or card.stat().st_size > MAX_CARD_BYTES
        or not leads_into_checkpoint(card, directory)
    ):
        return None
    try:
        fields = metadata_load(card) or {}
    except (YAMLError, ValueError, RecursionError):  # the card has no front matter that a program can read
        return None
    licence, name, link = (_one_line(fields.get(key)) for key in ("license", "license_name", "license_link"))
    return Licence(licence, name, link) if licence else None


def find_licences(base: ModelSource, instruct: ModelSource) -> Licences:
    """Find the licences of a pair's two models."""
    return Licences(*(find_licence(source.reference, source.directory) for source in (base, instruct)))


def _one_line(value: Any) -> str | None:
    """Write a field of somebody's card as one line of plain text; None if it is no text."""
    if not isinstance(value, str):
        return None
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:MAX_FIELD_LENGTH] or None


def _text(value: object) -> str:
    """Write a name as Markdown that shows it literally."""
    return in_markdown(_one_line(str(value)) or "")


def model_card(
    manifest: BuildManifest,
    layers_path: str | None,
    licences: Licences | None = None,
    crc: Sequence[ModelSummary] | None = None,
) -> str:
    """Write the text of README.md.

    Args:
        manifest: manifest of the checkpoint.
        layers_path: path of the list of decoder layers; None if the files do not name tensors as the model does.
        licences: licences of the two models, as far as they are known.
        crc: the search's scores of this hybrid; None if they were not measured.
    """
    licences = licences or Licences()
    base = ModelReference(manifest.base, manifest.base_revision)
    instruct = ModelReference(manifest.instruct, manifest.instruct_revision)
    instruct_title = _text(instruct.location)
    side = "adapter" if manifest.instruct_is_adapter else "instruct"
    return f"""---
{_metadata(manifest, base, instruct, licences)}
---
{_description(manifest, base, instruct)}
Made with slr {manifest.slr_version}.

| | model | revision | licence |
| --- | --- | --- | --- |
{_source_row("base", base, licences.base)}
{_source_row(side, instruct, licences.instruct)}

{use_section(_is_adapter(manifest))}
## Licence

It is made from both models, so the licences and terms of use of both {_text(base.location)} and {instruct_title}
apply to it. {_licence_advice(licences)}

## Diversity

{_crc_section(manifest, crc)}
{_mergekit_section(manifest, base, instruct, layers_path)}
## How to cite

```bibtex
{CITATION % manifest.slr_version}
```
"""


def _description(manifest: BuildManifest, base: ModelReference, instruct: ModelReference) -> str:
    """Title, and a paragraph on what the model is."""
    base_name, instruct_name, title = _text(base), _text(instruct), _text(instruct.location)
    if manifest.instruct_is_adapter:
        instruct_name = f"{base_name} with the adapter {instruct_name}"
    if manifest.interval is None:
        return f"""# {title}, souped with its base model at {manifest.alpha:g}

This is a soup of {instruct_name} and {base_name}. Each weight is interpolated between the two, with a share of
{manifest.alpha:g} of the base model's. This gives a post-trained model diversity back without training. Tokenizer,
chat template and generation settings come from {instruct_name}. `{MANIFEST_FILE}` says where every tensor came from."""
    start, end = manifest.interval
    share = "" if manifest.alpha == 1 else f" by a share of {manifest.alpha:g}"
    parts = "" if manifest.components is None else f"the {' and the '.join(manifest.components)} of "
    rest = "All other layers" if manifest.components is None else "The rest of these layers, all other layers"
    return f"""# {title}, layers {start}:{end} restored

This is {instruct_name}, but {parts}layers {start}:{end} of {manifest.num_layers} (counted from 0, the end not
included) were restored{share} to {base_name}. This was done by Selective Layer Restoration, a method to give a
post-trained model diversity back without training. {rest}, embeddings, final norm, LM head, tokenizer, chat template
and generation settings come from {instruct_name}. `{MANIFEST_FILE}` says where every tensor came from."""


def _metadata(
    manifest: BuildManifest, base: ModelReference, instruct: ModelReference, licences: Licences
) -> str:
    on_hub = _is_on_hub(base) and _is_on_hub(instruct)
    licence = licences.common
    data = ModelCardData(
        library_name="peft" if _is_adapter(manifest) else "transformers",
        pipeline_tag="text-generation",
        base_model=[instruct.location, base.location] if on_hub else None,
        base_model_relation="merge" if on_hub else None,
        license=licence.id if licence else None,
        license_name=licence.name if licence else None,
        license_link=licence.link if licence else None,
        tags=list(TAGS),
    )
    return data.to_yaml()


def _is_adapter(manifest: BuildManifest) -> bool:
    """Whether the built model itself is an adapter."""
    return WEIGHTS_FILE in manifest.shards


def _source_row(side: str, reference: ModelReference, licence: Licence | None) -> str:
    revision = f"`{reference.revision}`" if reference.revision else "none: a directory"
    terms = _text(licence) if licence else "not stated in its model card"
    return f"| {side} | {_text(reference.location)} | {revision} | {terms} |"


def _is_on_hub(reference: ModelReference) -> bool:
    """Whether a model in a manifest is on the hub, because then the manifest has its commit."""
    return reference.revision is not None


def _licence_advice(licences: Licences) -> str:
    unknown = [side for side in ("base", "instruct") if getattr(licences, side) is None]
    if unknown:
        return f"The licence of the {' and the '.join(unknown)} model is not known: look it up before you publish this."
    if licences.common is None:
        return (
            "The two licences differ: see what each asks for (notices, names, uses) before you publish this."
        )
    common = _text(licences.common)
    return f"Both are under {common}: see what it asks for (notices, names, uses) before you publish this."


def _crc_section(manifest: BuildManifest, crc: Sequence[ModelSummary] | None) -> str:
    if crc is None:
        return (
            "Not measured on these weights. `slr score` measures CRC validity and diversity of a checkpoint, and\n"
            "`slr build --search-dir` takes them from the records of `slr search`.\n"
        )
    layers = manifest.interval
    what = f"soup at {manifest.alpha:g}" if layers is None else f"layers {layers[0]}:{layers[1]}"
    names = {"hybrid": f"this model, {what}", "soup": f"this model, {what}"}
    rows = "\n".join(
        f"| {names.get(row.model, row.model)} | {row.prompt_set.replace('_', '-')} | "
        f"{_cell(row.validity)} | {_cell(row.diversity)} | {_cell(row.validity_ratio)} | "
        f"{_cell(row.diversity_difference)} |"
        for row in crc
    )
    return f"""Each prompt asks for one random character out of a stated set (CRC). *Validity* is the probability of
the characters of the set, and *diversity* is the normalised entropy among them. Both are from 0 to 1, and are means
over {crc[0].num_prompts} prompts with 95% intervals. The validity divided by the instruct model's is a ratio of two
means, with Fieller's interval. The choice was made by the selection prompts, without the held-out prompts.

| model | prompts | validity | diversity | validity / instruct's | diversity less instruct's |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


def _cell(estimate: Estimate | None) -> str:
    return "" if estimate is None else str(estimate)


def _mergekit_section(
    manifest: BuildManifest, base: ModelReference, instruct: ModelReference, layers_path: str | None
) -> str:
    # A directory would mean nothing to the reader of a card.
    if not (_is_on_hub(base) and _is_on_hub(instruct)):
        return ""
    text = equivalent_yaml(manifest, layers_path, base, instruct)
    if text is None:
        return ""
    return f"\n## The same tensors with mergekit\n\n```yaml\n{text}```\n"
