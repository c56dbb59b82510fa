"""Low-rank adapters in a tower (LoRA: Hu et al., ICLR 2022), by peft."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from anyclip.config.schema import LoraConfig
from anyclip.errors import UserError
from anyclip.model.freezing import matching

_BASE = ".base_layer."


def add_lora(tower: nn.Module, config: LoraConfig, *, where: str) -> None:
    """Freeze a tower and give its linear layers adapters that learn, in place.

    A layer keeps its weights under `NAME.base_layer`; `NAME.lora_A` and `NAME.lora_B` are new, and the tower's first
    outputs are unchanged (B begins at 0). Raises UserError where peft is missing or no linear layer matches.
    """
    try:
        import peft
    except ImportError as error:
        raise UserError(
            "needs peft, which is not installed.", where=where, next='pip install "anyclip[lora]"'
        ) from error
    # exactly Linear: attention layers read the weights of their own subclasses without calling them
    linear = [name for name, module in tower.named_modules() if type(module) is nn.Linear]
    if not linear:
        raise UserError("the tower has no plain linear layer.", where=where, hint="Use freeze or optimizer.groups.")
    chosen = {name for pattern in config.match for name in matching(pattern, linear, where=f"{where}.match")}
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.rank if config.alpha is None else config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=f"({'|'.join(re.escape(name) for name in sorted(chosen))})",
        bias="none",
    )
    tower.requires_grad_(False)
    peft.inject_adapter_in_model(settings, tower)
    if hasattr(tower, "peft_config"):
        del tower.peft_config  # the run's config says it


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Name before the adapters came -> name now, for the tensors that were there before."""
    return {name.replace(_BASE, "."): name for name in names if ".lora_" not in name}
