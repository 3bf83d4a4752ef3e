"""Push a built checkpoint or adapter to the Hugging Face hub.

The repository is new and private, unless the user asks for a public one: the licences of both models should be read
before a hybrid is published. A repository that exists already is never written to, because it may hold another model.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from httpx2 import TransportError
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars, validate_repo_id

from slr.terminal.literal_text import as_command
from slr.terminal.notices import is_quiet


class PushError(OSError):
    """The hub did not take a model; the message is one line that says how to go on."""


def check_can_push(repository: str) -> None:
    """Check, before anything is built, that the hub knows the user and has no such repository yet.

    Args:
        repository: NAME, or OWNER/NAME.

    Raises:
        ValueError: if the name is none, nobody is logged in, the token is invalid, or the repository exists.
        PushError: if the hub cannot be reached.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise ValueError(
            f"--push-to-hub is {repository!r}, expected OWNER/NAME, such as me/diverse-qwen"
        ) from None
    if get_token() is None:
        raise ValueError(
            "--push-to-hub needs a login: run 'hf auth login', or set HF_TOKEN to a token that may write"
        )
    api = HfApi()
    with _one_line("leave --push-to-hub out and push the checkpoint later"):
        user = api.whoami()["name"]
        name = repository if "/" in repository else f"{user}/{repository}"
        if api.repo_exists(name):
            raise ValueError(
                f"{constants.ENDPOINT}/{name} exists already: give another name, or leave --push-to-hub out and push "
                "the checkpoint into it by 'hf upload'"
            )


def push(directory: Path, repository: str, private: bool) -> str:
    """Make a repository on the hub and upload a directory into it.

    Args:
        directory: directory of a complete checkpoint or adapter.
        repository: NAME, or OWNER/NAME.
        private: whether only its owner sees it.

    Returns:
        The address of the repository.

    Raises:
        PushError: if the hub cannot be reached or refuses; what was uploaded until then stays there.
    """
    api = HfApi()
    with _one_line(how_to_push(directory, repository, private)), _bars_on_a_terminal():
        url = api.create_repo(repository, private=private)
        api.upload_folder(
            repo_id=url.repo_id, folder_path=directory, commit_message="Upload a model made by slr"
        )
    return str(url)


def how_to_push(directory: Path, repository: str, private: bool) -> str:
    """Say how a complete directory is pushed later, in a part of a sentence.

    Args:
        directory: the directory.
        repository: NAME, or OWNER/NAME.
        private: whether only its owner will see it.
    """
    words = ["hf", "upload", repository, str(directory), ".", *(["--private"] if private else [])]
    return f"{directory} is complete, push it by: {as_command(words)}"


@contextmanager
def _bars_on_a_terminal() -> Generator[None]:
    """Let the hub's library draw its progress bars only where somebody looks at them."""
    if sys.stderr.isatty() and not is_quiet():
        try:
            yield
        except BaseException:
            print(file=sys.stderr)  # the error must not continue the line of a bar
            raise
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _one_line(how_to_go_on: str) -> Generator[None]:
    """Turn the ways in which the hub fails into one line.

    Raises:
        ValueError: if the hub does not know the user's token.
        PushError: if it fails in another way.
    """
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PushError(f"HF_HUB_OFFLINE is set, so nothing is pushed; {how_to_go_on}") from error
    except TransportError as error:
        raise PushError(f"{constants.ENDPOINT} cannot be reached; {how_to_go_on}") from error
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise ValueError(
                f"the hub does not know the token: run 'hf auth login', or correct HF_TOKEN; {how_to_go_on}"
            ) from error
        raise PushError(f"the hub refused: {str(error).splitlines()[0]}; {how_to_go_on}") from error
    # A large file could not be uploaded.
    except (OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise PushError(f"the upload failed: {reason}; {how_to_go_on}") from error
