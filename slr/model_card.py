"""The model card of a built checkpoint: what it is and where it came from, in the hub's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCardData, metadata_load
from yaml import YAMLError

from slr.adapters import WEIGHTS_FILE
from slr.build_manifest import MANIFEST_FILE, BuildManifest
from slr.crc.hybrid_figures import HybridFigure
from slr.hub import HubError, fetch_card
from slr.mergekit import equivalent_yaml
from slr.model_pairs import ModelReference
from slr.uncertainty import Estimate

CARD_FILE = "README.md"

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
    """A licence as a model card's front matter states it: an id of the hub's list, or "other" with a name."""

    id: str
    name: str | None = None
    link: str | None = None

    def __str__(self) -> str:
        return self.name or self.id


@dataclass(frozen=True)
class Licences:
    """Of the two models that a hybrid is made of; None where a checkpoint does not say."""

    base: Licence | None = None
    instruct: Licence | None = None

    @property
    def common(self) -> Licence | None:
        """The licence of the hybrid, where both have the same."""
        return self.base if self.base == self.instruct else None


def find_licence(reference: ModelReference, directory: Path) -> Licence | None:
    """The licence that the front matter of a model's README.md names; None if it is not known.

    ``directory`` has the model's files, where they are local. A hub model's README.md is fetched.
    """
    if reference.directory is None:
        try:
            directory = fetch_card(reference)
        except HubError:  # the weights were in the cache, and the hub cannot be reached
            return None
    card = directory / CARD_FILE
    try:
        fields = metadata_load(card) if card.is_file() else None
    except (YAMLError, ValueError):  # a card for readers alone
        return None
    licence = (fields or {}).get("license")
    if not isinstance(licence, str):
        return None
    assert fields is not None
    return Licence(licence, fields.get("license_name"), fields.get("license_link"))


def model_card(
    manifest: BuildManifest,
    layers_path: str,
    licences: Licences | None = None,
    crc: Sequence[HybridFigure] | None = None,
) -> str:
    """Text of README.md.

    Args:
        manifest: of the checkpoint.
        layers_path: where the tensors of the decoder layers are, by name.
        licences: of the two models, as far as they are known.
        crc: the search's figures for this hybrid, if it was measured.
    """
    licences = licences or Licences()
    base = ModelReference(manifest.base, manifest.base_revision)
    instruct = ModelReference(manifest.instruct, manifest.instruct_revision)
    start, end = manifest.interval
    share = "" if manifest.alpha == 1 else f" to {manifest.alpha:g} parts of 1"
    instruct_name = f"{base} with the adapter {instruct}" if manifest.instruct_is_adapter else str(instruct)
    side = "adapter" if manifest.instruct_is_adapter else "instruct"
    return f"""---
{_metadata(manifest, base, instruct, licences)}
---
# {instruct.location}, layers {start}:{end} restored

The decoder layers are those of {instruct_name}, but layers {start}:{end} of {manifest.num_layers} (counted from 0,
the end not included) were restored{share} to {base} by Selective Layer Restoration, which is to give a
post-trained model diversity back without training. Embeddings, final norm, LM head, tokenizer, chat template
and generation settings are those of {instruct_name}. `{MANIFEST_FILE}` says of every tensor where it came from.
Made with slr {manifest.slr_version}.

| | model | revision | licence |
| --- | --- | --- | --- |
{_source_row("base", base, licences.base)}
{_source_row(side, instruct, licences.instruct)}

## Licence

It is made from both models: the licences and terms of use of {base.location} and of {instruct.location} both
apply to it. {_licence_advice(licences)}

## Diversity

{_crc_section(manifest, crc)}
{_mergekit_section(manifest, base, instruct, layers_path)}
## How to cite

```bibtex
{CITATION % manifest.slr_version}
```
"""


def _metadata(
    manifest: BuildManifest, base: ModelReference, instruct: ModelReference, licences: Licences
) -> str:
    on_hub = base.directory is None and instruct.directory is None
    licence = licences.common
    data = ModelCardData(
        library_name="peft" if WEIGHTS_FILE in manifest.shards else "transformers",
        pipeline_tag="text-generation",
        base_model=[instruct.location, base.location] if on_hub else None,
        base_model_relation="merge" if on_hub else None,
        license=licence.id if licence else None,
        license_name=licence.name if licence else None,
        license_link=licence.link if licence else None,
        tags=list(TAGS),
    )
    return data.to_yaml()


def _source_row(side: str, reference: ModelReference, licence: Licence | None) -> str:
    revision = f"`{reference.revision}`" if reference.revision else "none: a directory"
    return f"| {side} | {reference.location} | {revision} | {licence or 'not stated in its model card'} |"


def _licence_advice(licences: Licences) -> str:
    unknown = [side for side in ("base", "instruct") if getattr(licences, side) is None]
    if unknown:
        return f"Of the {' and the '.join(unknown)} model no licence is known here: look it up before you publish this."
    if licences.common is None:
        return "They are not the same: see what each asks for (notices, names, uses) before you publish this."
    return f"Both are under {licences.common}: see what it asks for (notices, names, uses) before you publish this."


def _crc_section(manifest: BuildManifest, crc: Sequence[HybridFigure] | None) -> str:
    if crc is None:
        return (
            "Not measured on these weights. `slr score` measures CRC validity and diversity of a checkpoint, and\n"
            "`slr build --search-dir` takes them from the records of `slr search`.\n"
        )
    names = {"hybrid": f"this model, layers {manifest.interval[0]}:{manifest.interval[1]}"}
    rows = "\n".join(
        f"| {names.get(figure.model, figure.model)} | {figure.prompt_set.replace('_', '-')} | "
        f"{_cell(figure.validity)} | {_cell(figure.diversity)} | {_cell(figure.validity_ratio)} | "
        f"{_cell(figure.diversity_difference)} |"
        for figure in crc
    )
    return f"""Asked for one random character out of a stated set (CRC), *validity* is the probability on the
characters of the set, *diversity* the normalised entropy among them, both from 0 to 1: means over
{crc[0].num_prompts} prompts with 95% intervals; the validity over the instruct model's is a ratio of two
means, with Fieller's interval. The selection prompts are those that layers are chosen by, the held-out ones were
not looked at.

| model | prompts | validity | diversity | validity / instruct's | diversity less instruct's |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


def _cell(estimate: Estimate | None) -> str:
    return "" if estimate is None else str(estimate)


def _mergekit_section(
    manifest: BuildManifest, base: ModelReference, instruct: ModelReference, layers_path: str
) -> str:
    text = equivalent_yaml(manifest, layers_path)
    # A directory's path would mean nothing to the reader of a card.
    if text is None or base.directory is not None or instruct.directory is not None:
        return ""
    return f"\n## The same tensors with mergekit\n\n```yaml\n{text}```\n"
