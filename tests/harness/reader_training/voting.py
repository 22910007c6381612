"""The votes of a batch's questions, as the engine takes them when it reads a question twice: their loss, and what they select.

TokenSelect reads what gets the most votes (paper, Eq. 7), so what helps a sparse decoder most is a passage that stands out
among all documents: the loss. And the reader must tell the right one of the passages that were selected from the others:
`selected` gives those of each question, for sequences of a second reading. Votes are those of the last layer: unrotated
keys, the query as far away as the local window, no scaling, softmax per head, summed over heads and the question's tokens.
Knows no corpus.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import rotate_half

DISTANCE = 64  # tokens between candidates and query: tscli.json's n_local
POOL = 33  # tscli.json's pool
REACH = 12  # tokens on both sides of the answer that count as hit: pooling over 33 brings the answer along


@dataclass(frozen=True)
class Asked:
    """One question of a batch: its row, its tokens [start, stop), its answer's [stop, end), and the document's tokens
    [source_start, source_stop) that the answer is copied from."""

    row: int
    start: int
    stop: int
    end: int
    source_start: int
    source_stop: int


class Voter:
    """Takes the votes of questions with a model's last layer; keeps the documents of the batches before as candidates."""

    def __init__(self, model: PreTrainedModel, num_banked: int) -> None:
        self.model = model
        self.layer = model.model.layers[-1]
        self.num_kv_heads = model.config.num_key_value_heads
        self.head_dim = model.config.head_dim
        self._bank: deque[tuple[Tensor, Tensor]] = deque(maxlen=num_banked)

    def loss(self, hidden: Tensor, document: Tensor, asked: list[Asked]) -> Tensor:
        """Mean over the questions of -log(share of the votes that fall on the answer's passage), among the batch's documents.

        hidden: [rows, length, width], the input of the last layer. document: [rows, length] bool. A scalar.
        """
        query, key = self._query(hidden, asked), self._key(hidden)
        total = torch.einsum("tkgd,nkd->tkgn", query, key[document]).float().logsumexp(-1)  # [t, kv_heads, group]
        ranges = [range(max(1, a.source_start - REACH), min(a.source_stop + REACH, hidden.shape[1])) for a in asked]
        width = max(map(len, ranges))
        places = torch.stack([pad(torch.tensor(r), (0, width - len(r)), value=-1) for r in ranges]).to(hidden.device)
        rows = torch.tensor([a.row for a in asked], device=hidden.device)
        valid = (places >= 0) & document[rows[:, None], places]  # [questions, width]
        which = _which(asked, hidden.device)
        wanted = torch.einsum("tkgd,twkd->tkgw", query, key[rows[:, None], places][which]).float()
        wanted = wanted.masked_fill(~valid[which][:, None, None], -torch.inf)
        share = (wanted - total[..., None]).exp().sum(-1).mean((1, 2))  # [t]
        return -torch.log(_mean_by(share, which, len(asked)) + 1e-6).mean()

    @torch.no_grad()
    def selected(self, hidden: Tensor, document: Tensor, ids: Tensor, asked: list[Asked], k: int) -> Tensor:
        """The k tokens that each question selects among the documents of this batch and those before, in their order.

        ids: [rows, length] int64, like hidden and document. Token ids, [questions, k], fewer where there are fewer.
        """
        query, key = self._query(hidden, asked), self._key(hidden)[document]
        self._bank.append((key, ids[document]))
        keys, tokens = (torch.cat(parts) for parts in zip(*self._bank, strict=True))
        share = torch.einsum("tkgd,nkd->tkgn", query, keys).float().softmax(-1).mean((1, 2))  # [t, n]
        votes = _mean_by(share, _which(asked, hidden.device), len(asked))  # [questions, n]
        pooled = max_pool1d(votes[:, None], POOL, stride=1, padding=POOL // 2)[:, 0]
        return tokens[pooled.topk(min(k, len(tokens))).indices.sort().values]

    def _key(self, hidden: Tensor) -> Tensor:
        """[rows, length, width] -> [rows, length, kv_heads, head_dim]."""
        key: Tensor = self.layer.self_attn.k_proj(self.layer.input_layernorm(hidden))
        return key.unflatten(-1, (self.num_kv_heads, self.head_dim))

    def _query(self, hidden: Tensor, asked: list[Asked]) -> Tensor:
        """The questions' tokens one after the other, [t, kv_heads, group, head_dim], rotated to the distance."""
        states = self.layer.input_layernorm(torch.cat([hidden[a.row, a.start : a.stop] for a in asked]))
        query = self.layer.self_attn.q_proj(states).unflatten(-1, (self.num_kv_heads, -1, self.head_dim))
        place = torch.tensor([[DISTANCE]], device=query.device)
        cos, sin = (part[0, 0].to(query.dtype) for part in self.model.model.rotary_emb(query, place))
        return query * cos + rotate_half(query) * sin


def _which(asked: list[Asked], device: torch.device) -> Tensor:
    """For each question token the number of its question, [t]."""
    lengths = torch.tensor([a.stop - a.start for a in asked], device=device)
    return torch.repeat_interleave(torch.arange(len(asked), device=device), lengths)


def _mean_by(share: Tensor, which: Tensor, count: int) -> Tensor:
    """[t, ...] -> [count, ...], the mean over the tokens of each question."""
    sums = share.new_zeros((count, *share.shape[1:])).index_add(0, which, share)
    return sums / torch.bincount(which, minlength=count).view(-1, *[1] * (share.ndim - 1))
