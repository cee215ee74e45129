"""Low-rank adaptation of a language model (Hu et al. 2021, "LoRA", arXiv 2106.09685), by `peft`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from typing_extensions import override

Targets = Literal["query-value", "attention", "all-linear"]
"""Which linear layers are adapted."""

TARGETS: Mapping[Targets, list[str] | str] = {
    "query-value": ["q_proj", "v_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "all-linear": "all-linear",
}


def small_language_model() -> torch.nn.Module:
    """A transformer of Llama's kind for bytes, of 0.25 million parameters, with random weights."""
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


class LanguageModel(pl.LightningModule):
    """A causal language model, trained with AdamW, a linear warm-up and a linear decay.

    Logs ``train_loss`` and ``val_loss``, in nats per token.

    Args:
        lr: Learning rate after the warm-up.
        warmup: Share of the steps in which the learning rate rises.
    """

    model: torch.nn.Module

    def __init__(self, *, lr: float = 1e-3, warmup: float = 0.1) -> None:
        super().__init__()
        self.lr = lr
        self.warmup = warmup

    @override
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of each next token, `batch x length x vocabulary`."""
        logits: torch.Tensor = self.model(input_ids=tokens).logits
        return logits

    @override
    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss)
        return loss

    @override
    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch), sync_dist=True)

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        rising = max(1, round(self.warmup * steps))

        def factor(step: int) -> float:
            return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        logits = self(batch[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


class SmallLanguageModel(LanguageModel):
    """`small_language_model`, all of whose weights are trained.

    Args:
        lr: Learning rate after the warm-up.
        warmup: Share of the steps in which the learning rate rises.
    """

    def __init__(self, *, lr: float = 3e-3, warmup: float = 0.1) -> None:
        super().__init__(lr=lr, warmup=warmup)
        self.model = small_language_model()


class LowRankAdaptation(LanguageModel):
    """A language model whose own weights stay, and whose linear layers get a trained low-rank change each.

    Args:
        base: File of a `SmallLanguageModel`'s ``model.state_dict()``, or the name of a pretrained model of Llama's kind
            (Llama, Qwen, Mistral, SmolLM, ...) on the Hugging Face Hub or on disk.
        rank: Rank `r` of the changes.
        alpha: Their weight is `alpha / r`.
        targets: Which layers are adapted.
        lr: Learning rate after the warm-up.
        warmup: Share of the steps in which the learning rate rises.
    """

    def __init__(
        self,
        base: str,
        *,
        rank: int = 8,
        alpha: int = 16,
        targets: Targets = "query-value",
        lr: float = 1e-3,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(lr=lr, warmup=warmup)
        model = _base_model(base)
        names = TARGETS[targets]
        adaptation = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")  # peft reads it
            self.model = get_peft_model(model, adaptation)


def _base_model(base: str) -> Any:
    if not Path(base).is_file():
        return AutoModelForCausalLM.from_pretrained(base)
    model = small_language_model()
    if next(model.parameters()).device.type != "meta":  # there are no weights there, and shapes are all that is asked
        model.load_state_dict(torch.load(base, map_location="cpu", weights_only=True))
    return model
