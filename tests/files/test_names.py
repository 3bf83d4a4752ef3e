from __future__ import annotations

import pytest

from slr.files.names import MAX_BYTES, check_file_name


@pytest.mark.parametrize(
    "name",
    [
        "testbed-llama",
        "Qwen2.5-7B-Instruct",
        "my model",
        "model:7b",
        "日本語",
        "crc_search.jsonl",
        "console",
        ".hidden",
        "x" * 200,
    ],
)
def test_names_of_models_are_names_of_files(name: str) -> None:
    assert check_file_name(name, "the name") == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (".", "leads to another directory"),
        ("..", "leads to another directory"),
        ("../x", "leads to another directory"),
        ("/etc/x", "leads to another directory"),
        ("a/b", "leads to another directory"),
        ("..\\x", "leads to another directory"),
        ("C:x", "begins with a drive"),
        ("a\0b", "has control characters"),
        ("a\nb", "has control characters"),
        ("a\u202eb", "has control characters"),
        ("a\udcff", "has control characters"),
        ("-rf", "begins with a dash"),
        ("x.", "ends with a dot"),
        ("x ", "ends with a space"),
        (" x", "begins or ends with a space"),
        ("NUL", "is a device's on Windows"),
        ("com1.txt", "is a device's on Windows"),
        ("Aux.a.b", "is a device's on Windows"),
        ("x" * (MAX_BYTES + 1), "is longer than 200 bytes"),
        ("é" * 101, "is longer than 200 bytes"),
    ],
)
def test_other_names_are_refused_in_one_short_line(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^the name is .*{problem}") as caught:
        check_file_name(name, "the name")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
