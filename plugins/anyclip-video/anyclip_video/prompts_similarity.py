"""`xclip_prompts`: a text changed by a prompt that the video gives it, then the cosine.

Ni et al. 2022 (X-CLIP for recognition), arXiv 2208.02816, section 3.3 (video-specific prompting).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import XCLIPConfig
from transformers.models.x_clip.modeling_x_clip import XCLIPPromptGenerator

from anyclip.errors import UserError
from anyclip.similarities import Prepared, Similarity
from anyclip.similarities.tokens import at_least_fp32, unit_tokens
from anyclip.towers import Encoding
from anyclip_video.pair_chunks import scored_in_chunks
from anyclip_video.tower_options import PromptsOptions


class PromptsSimilarity(Similarity):
    """cos(video, text + prompt(text, the video's patches)). Rerank only. `pair: [text, video]`.

    The first stream gives the text (its features), the second the video (its features) and patches (its tokens:
    `video/transformers` with `prompts: true`).
    """

    decomposable = False
    needs = frozenset({"embedding", "tokens", "projected"})

    def __init__(self, options: PromptsOptions):
        super().__init__()
        if options.dim % options.heads:
            raise UserError(f"xclip_prompts: heads: the width {options.dim} does not divide by {options.heads}.")
        self.options = options
        config = XCLIPConfig(
            projection_dim=options.dim,
            prompt_layers=options.layers,
            prompt_num_attention_heads=options.heads,
            prompt_alpha=options.alpha,
            prompt_attention_dropout=options.dropout,
            prompt_projection_dropout=options.dropout,
        )
        config._attn_implementation = "sdpa"  # the library asks for it outside of a whole model
        self.prompts_generator = XCLIPPromptGenerator(config)
        for module in self.prompts_generator.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        own = at_least_fp32(features)
        if encoding.tokens is None:  # the text's side needs none
            return {"embedding": own, "patches": own[:, None], "mask": own.new_ones(len(own), 1) > 0}
        patches, mask = unit_tokens(encoding, "xclip_prompts", normalize=False)
        return {"embedding": own, "patches": patches, "mask": mask}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        text, video = a["embedding"], F.normalize(b["embedding"], dim=-1)
        counts = b["mask"].sum(dim=1).clamp(min=1)
        order = (~b["mask"]).to(torch.uint8).argsort(dim=1, stable=True)[..., None]
        patches = b["patches"].gather(1, order.expand_as(b["patches"]))  # real ones first

        def score(i: Tensor, j: Tensor) -> Tensor:
            found = text.new_zeros(len(i))
            for count in counts[j].unique().tolist():  # the library's attention cannot leave patches out
                some = (counts[j] == count).nonzero()[:, 0]
                prompted = self.prompted(text[i[some]], patches[j[some], :count])
                cosine = (F.normalize(prompted, dim=-1) * video[j[some]]).sum(dim=-1)
                found = found.index_copy(0, some, cosine)
            return found

        def stand_in() -> Tensor:
            return self.prompted(text.new_zeros(1, text.shape[1]), text.new_zeros(1, 1, text.shape[1]))[:, 0]

        return scored_in_chunks(score, stand_in, ([text], [video, patches]), self.options.chunk)

    def prompted(self, text: Tensor, patches: Tensor) -> Tensor:
        """Texts [n, E] and the patches [n, P, E] of each one's video -> texts [n, E] for those videos."""
        return text + self.prompts_generator(text[:, None], patches)[:, 0]
