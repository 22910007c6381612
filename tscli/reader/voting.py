"""A loss on the votes themselves: in the last layer a question's tokens should vote for the passage that answers it.

TokenSelect reads what gets the most votes (paper, Eq. 7), so what helps a sparse decoder most is a passage that stands out
among all documents. The votes are taken as the engine takes them when it reads a question twice: unrotated keys, the
query as far away as the local window, no scaling, softmax per head, summed over heads and over the question's tokens.
Candidates are the documents of the whole batch and, without gradient, those of the batches before. Knows no corpus.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import rotate_half

DISTANCE = 64  # tokens between candidates and query: tscli.json's n_local
REACH = 12  # tokens on both sides of the answer that count as hit: pooling over 33 brings the answer along


@dataclass(frozen=True)
class Asked:
    """One question of a batch: its row, its tokens [start, stop) and the tokens of the answer's source [begin, end)."""

    row: int
    start: int
    stop: int
    begin: int
    end: int


class VoteLoss:
    """Mean of -log(share of a question's votes that fall on its answer's passage)."""

    def __init__(self, model: PreTrainedModel, num_banked: int) -> None:
        self.model = model
        self._bank: deque[Tensor] = deque(maxlen=num_banked)

    def __call__(self, hidden: Tensor, document: Tensor, asked: list[Asked]) -> Tensor:
        """hidden: [rows, length, width], the input of the last layer. document: [rows, length] bool. A scalar."""
        layer, config = self.model.model.layers[-1], self.model.config
        d, kv_heads = config.head_dim, config.num_key_value_heads
        states = layer.input_layernorm(hidden)
        key = layer.self_attn.k_proj(states).unflatten(-1, (kv_heads, d))  # [rows, length, kv_heads, d]
        query = torch.cat([states[a.row, a.start : a.stop] for a in asked])
        query = self._turned(layer.self_attn.q_proj(query).unflatten(-1, (kv_heads, -1, d)))  # [t, kv_heads, group, d]
        own = key[document]
        everything = torch.cat([own, *self._bank])
        self._bank.append(own.detach())
        total = torch.einsum("tkgd,nkd->tkgn", query, everything).float().logsumexp(-1)  # [t, kv_heads, group]
        ranges = [range(max(1, a.begin - REACH), min(a.end + REACH, hidden.shape[1])) for a in asked]
        width = max(map(len, ranges))
        places = torch.stack([pad(torch.tensor(r), (0, width - len(r)), value=-1) for r in ranges]).to(hidden.device)
        rows = torch.tensor([a.row for a in asked], device=hidden.device)
        valid = (places >= 0) & document[rows[:, None], places]  # [questions, width]
        lengths = torch.tensor([a.stop - a.start for a in asked], device=hidden.device)
        which = torch.repeat_interleave(torch.arange(len(asked), device=hidden.device), lengths)  # [t]
        wanted = torch.einsum("tkgd,twkd->tkgw", query, key[rows[:, None], places][which]).float()
        wanted = wanted.masked_fill(~valid[which][:, None, None], -torch.inf)
        share = (wanted - total[..., None]).exp().sum(-1).mean((1, 2))  # [t]
        shares = torch.zeros(len(asked), device=share.device).index_add(0, which, share) / lengths
        return -torch.log(shares + 1e-6).mean()

    def _turned(self, query: Tensor) -> Tensor:
        place = torch.tensor([[DISTANCE]], device=query.device)
        cos, sin = (part[0, 0].to(query.dtype) for part in self.model.model.rotary_emb(query, place))
        return query * cos + rotate_half(query) * sin
