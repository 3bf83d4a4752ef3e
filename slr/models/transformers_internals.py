"""Use the names of transformers, and of accelerate's hooks on its models, that are not public.

No other module may use such a name. A release of transformers may change each of them, so pyproject.toml has an upper
bound for its version, and ``tests/models/test_transformers_internals.py`` has a test of each function here.
To allow a newer release, raise the bound and run these tests.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any
from unittest.mock import patch

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.chat_template_utils import render_jinja_template
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from slr.models.decoder import decoder_of


def is_listed(auto_class: Any, config: PreTrainedConfig) -> bool:
    """Return whether one of transformers' automatic classes has a model for a configuration."""
    return type(config) in auto_class._model_mapping


def tied_weights(model: PreTrainedModel) -> Mapping[str, str]:
    """Return for each tensor that shares another one's memory the name of the other tensor."""
    return model.all_tied_weights_keys


def supports_sdpa(model: PreTrainedModel) -> bool:
    """Return whether the architecture computes attention by PyTorch's scaled-dot-product attention."""
    return model._supports_sdpa


def attention_implementation(config: PreTrainedConfig) -> str | None:
    """Return the name of the attention implementation that a model of the configuration computes with."""
    return config._attn_implementation


def set_attention_implementation(config: PreTrainedConfig, name: str) -> None:
    """Have modules with this configuration, and with the configurations inside it, use another attention."""
    config._attn_implementation = name


def attention_function(module: nn.Module, implementation: str) -> Callable[..., Any]:
    """Return the function by which an attention module computes under an implementation.

    Args:
        module: an attention module of a model.
        implementation: "eager", or a registered name.
    """
    if implementation == "eager":
        # transformers registers no eager attention, because each architecture has a function of its own.
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[implementation]


def save_model(model: PreTrainedModel, directory: Path, **options: Any) -> None:
    """Write a model as a checkpoint, whichever process of a run this is.

    Of several connected processes, only the first one writes anything by ``save_pretrained``.

    Args:
        model: the model.
        directory: the directory to write to, which may have other files.
        options: options of ``save_pretrained``.
    """
    with patch.object(model, "should_save_on_this_rank", lambda _: True, create=True):
        model.save_pretrained(directory, **options)


def install_capturing_hooks(model: PreTrainedModel) -> None:
    """Put the hooks of ``output_hidden_states`` on a model's layers, unless they are there.

    A model puts them on its layers once, when it is first asked for hidden states. A hybrid takes layers from two
    models, so both must have them.
    """
    maybe_install_capturing_hooks(decoder_of(model))


def make_buffers(model: PreTrainedModel, module: nn.Module) -> None:
    """Fill the buffers of one of a model's modules, as transformers does when it loads a model."""
    model._init_weights(module)


def is_dispatched(module: nn.Module) -> bool:
    """Return whether accelerate has replaced the module's forward, to move its arguments to its device."""
    return "_hf_hook" in vars(module)


def rebind_dispatched_forward(clone: nn.Module) -> None:
    """Have accelerate's forward of a copied module compute with the copy, because it is bound to the original.

    The arguments of the copy are still moved to the module's device.
    """
    attributes = vars(clone)
    attributes["_old_forward"] = MethodType(attributes["_old_forward"].__func__, clone)
    attributes["forward"] = partial(attributes["forward"].func, clone)


def conversion_rules(model: PreTrainedModel) -> tuple[list[WeightRenaming], list[WeightConverter]]:
    """Return transformers' rules for turning tensors in files into the model's.

    Returns:
        The rules that rename a tensor, and the rules that join several tensors or split one.
    """
    rules = get_model_conversion_mapping(model)
    return (
        [rule for rule in rules if isinstance(rule, WeightRenaming)],
        [rule for rule in rules if isinstance(rule, WeightConverter)],
    )


def in_loading_order(names: Iterable[str]) -> list[str]:
    """Sort tensor names as transformers does when it loads a model, with numbers in them by their value."""
    return sorted(names, key=dot_natural_key)


def model_name_of(
    file_name: str,
    model: PreTrainedModel,
    rules: tuple[list[WeightRenaming], list[WeightConverter]],
    known: dict[str, Any],
) -> tuple[str, str | None]:
    """Return the model's name for a tensor in the files, and the pattern of the converter that applies to it.

    Some rules depend on the tensors before, so call this function for the names ``in_loading_order``.

    Args:
        file_name: name of the tensor in the files.
        model: the model, with or without weights.
        rules: the model's ``conversion_rules``.
        known: the model's state dict.
    """
    return rename_source_key(file_name, *rules, model.base_model_prefix, known)


def render_template(messages: list[dict[str, str]], template: str) -> str:
    """Render a chat in a chat template that no tokenizer has yet."""
    return render_jinja_template([messages], chat_template=template)[0][0]


def convert_tekken(path: Path) -> PreTrainedTokenizerBase:
    """Make a tokenizer from Mistral's ``tekken.json``; this needs the package mistral-common."""
    from transformers.integrations.mistral import (
        convert_tekken_tokenizer,  # pyright: ignore[reportPrivateImportUsage]
    )

    return convert_tekken_tokenizer(str(path))
