"""Fetch checkpoints from the Hugging Face hub or its local cache: small files and headers first, weights last.

Everything goes through ``huggingface_hub``. It uses its cache if the hub cannot be reached or ``HF_HUB_OFFLINE`` is
set.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from httpx2 import TransportError
from huggingface_hub import HfApi, constants, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    NotASafetensorsRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    SafetensorsParsingError,
)

from slr.chat.tokenizer_files import TOKENIZER_PATTERNS
from slr.models.reference import ModelReference
from slr.models.safetensors_index import (
    INDEX_FILE,
    SINGLE_FILE,
    TensorEntry,
    TensorIndex,
    check_has_safetensors,
    read_tensor_index,
    read_weight_map,
)

SMALL_FILE_PATTERNS = (
    "config.json", "generation_config.json", "adapter_config.json", INDEX_FILE,
    *TOKENIZER_PATTERNS, "LICENSE*", "NOTICE*", "USE_POLICY*",
)  # fmt: skip
"""Patterns of the names of a checkpoint's files, except weights and documentation."""

CONNECT_TIMEOUT_SECONDS = 10.0
"""Time in seconds to wait for the hub's answer to whether it has a model."""


class HubError(ValueError):
    """Neither the hub nor its cache gives a model; the message is one line that says what to do."""


def fetch_small_files(reference: ModelReference) -> Path:
    """Download all files of a hub model except its weights, unless they are in the cache.

    Returns:
        Their directory in the local cache; its name is the commit.

    Raises:
        HubError: if the repository or revision does not exist, the repository is gated, or the hub cannot be reached
            and the files are not in the cache.
    """
    return _fetch(reference, SMALL_FILE_PATTERNS)


def fetch_weights(reference: ModelReference, shards: tuple[str, ...]) -> Path:
    """Download the given weight files, unless they are in the cache, and return their directory.

    Raises:
        HubError: as ``fetch_small_files``.
    """
    return _fetch(reference, shards)


def fetch_card(reference: ModelReference) -> Path:
    """Download the model card of a hub model, if it has one, and return the directory in the local cache.

    Raises:
        HubError: as ``fetch_small_files``.
    """
    return _fetch(reference, ("README.md",))


def fetch_adapter(reference: ModelReference, weights_file: str) -> Path:
    """Download an adapter, unless it is in the cache, and return its directory, whose name is the commit.

    Raises:
        HubError: as ``fetch_small_files``.
    """
    return _fetch(reference, (*SMALL_FILE_PATTERNS, weights_file))


def read_hub_tensor_index(reference: ModelReference, directory: Path) -> TensorIndex:
    """Read the tensor index of a hub model.

    If all shards are in the cache, their headers are read there. Otherwise the hub is asked for the headers, and no
    weights are downloaded.

    Args:
        reference: the model.
        directory: the directory in the cache that has its small files.

    Raises:
        HubError: as ``fetch_small_files``.
        NotASafetensorsRepoError: if the hub lists safetensors weights and yet gives none.
        ValueError: if the repository has no safetensors weights.
    """
    if weights_are_local(directory):
        return read_tensor_index(directory)
    with _clear_errors(reference):
        try:
            metadata = HfApi().get_safetensors_metadata(reference.location, revision=reference.revision)
        except NotASafetensorsRepoError:
            # The names of the files show what the repository has instead, which makes the better message.
            files = HfApi().list_repo_files(reference.location, revision=reference.revision)
            check_has_safetensors(files, str(reference))
            raise
    tensors = {
        name: TensorEntry(tuple(info.shape), info.dtype, shard)
        for shard, header in metadata.files_metadata.items()
        for name, info in header.tensors.items()
    }
    missing = sorted(metadata.weight_map.keys() - tensors.keys())
    return TensorIndex(tensors, tuple(f"tensor {name} is in the index, but in no shard" for name in missing))


def _fetch(reference: ModelReference, patterns: tuple[str, ...]) -> Path:
    with _clear_errors(reference):
        return Path(
            snapshot_download(
                reference.location,
                revision=reference.revision,
                allow_patterns=list(patterns),
                local_files_only=not _hub_answers(reference),
            )
        )


def _hub_answers(reference: ModelReference) -> bool:
    """Whether the hub can be asked for the model.

    ``snapshot_download`` would find out by itself, but with a pinned revision only after 23 seconds.

    Raises:
        HfHubHTTPError: if the hub answers that there is no such model.
    """
    try:
        HfApi().model_info(reference.location, revision=reference.revision, timeout=CONNECT_TIMEOUT_SECONDS)
    except (TransportError, OfflineModeIsEnabled):
        return False
    except HfHubHTTPError as error:
        # From 500 on the hub itself has failed, which says nothing about the model.
        if error.response.status_code < 500:
            raise
        return False
    return True


def weights_are_local(directory: Path) -> bool:
    """Whether the directory of a hub model in the cache has all its weights."""
    if (directory / SINGLE_FILE).exists():
        return True
    index_file = directory / INDEX_FILE
    return index_file.exists() and all((directory / shard).exists() for shard in read_weight_map(index_file))


@contextmanager
def _clear_errors(reference: ModelReference) -> Generator[None]:
    """Turn the many ways in which the hub fails into one line that says what to do.

    Raises:
        HubError: if the hub fails within the context.
    """
    repository, url = reference.location, f"{constants.ENDPOINT}/{reference.location}"
    try:
        yield
    # The order matters, because some of these errors are subclasses of later ones.
    except GatedRepoError as error:
        raise HubError(
            f"access to {repository} is gated: accept its terms at {url} and log in with 'hf auth login'"
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{repository} is neither a directory here nor a model that the hub shows you: check the name, "
            "or, if the model is private, log in with 'hf auth login'"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(
            f"{repository} has no revision {reference.revision} on the hub: see {url}/commits/main"
        ) from error
    except SafetensorsParsingError as error:
        raise HubError(f"a weight file of {repository} has a corrupt header: {error}") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, TransportError) as error:
        raise HubError(_unreachable(reference)) from error
    except HfHubHTTPError as error:
        raise HubError(f"the hub refused {repository}: {str(error).splitlines()[0]}") from error


def _unreachable(reference: ModelReference) -> str:
    state = "HF_HUB_OFFLINE is set" if is_offline_mode() else f"{constants.ENDPOINT} cannot be reached"
    return (
        f"{reference} is not a directory here, not completely in the hub's local cache, and {state}: "
        "give the directory of a checkpoint, or download the model once with a connection to the hub"
    )
