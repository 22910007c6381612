"""How faithful sparse steps are: against the exact votes of all tokens, and against the dense output over the same keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from tscli.answer.engine import Engine, Request, Strategy
from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.model.step import Audit as AttentionAudit
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli.tokens import Prompt
from tscli_kernels import max_pool, top_k


@dataclass(frozen=True)
class Fidelity:
    """Means over `steps` decode steps (and over the layers that select).

    vote_mass: share of all votes that fall on what is attended of the candidates. recall: share of the exact top-k that is
    attended; None where nothing is ever selected (k 0). agreement: share of steps with the same likeliest token as dense
    attention; kl: KL(dense || sparse) of the next token, in nats; None where dense attention was not run.
    """

    steps: int
    vote_mass: float | None
    recall: float | None
    agreement: float | None
    kl: float | None


class Audit:
    """Gathers vote mass and recall of selections; see `Trace`."""

    def __init__(self, config: SelectionConfig) -> None:
        self.config = config
        self.masses: list[float] = []
        self.recalls: list[float] = []

    def __call__(self, used: Selection, first: int, votes: Tensor) -> None:
        """used: what is attended; votes: [n], the exact ones of all candidates, the first of which is token `first`."""
        attended = torch.zeros_like(votes, dtype=torch.bool)
        attended[used.positions - first] = True
        attended[used.local_start - first :] = True  # what left the local window since a reused selection stays attended
        votes = votes.clamp_min(0)
        wanted = top_k(max_pool(votes, self.config.pool), self.config.count(votes.shape[0]))
        self.masses.append(float(votes[attended].sum() / votes.sum().clamp_min(1e-30)))
        self.recalls.append(float(attended[wanted].float().mean()))


def fidelity(sparse: TokenSelectStrategy, dense: TokenSelectStrategy | None, prompt: Prompt, answer_ids: list[int]) -> Fidelity:
    """Of the steps that make this answer. Both strategies share one state; dense: None where it is too long for that."""
    audit = Audit(sparse.config)
    found = log_softmax(replay(sparse, prompt, answer_ids, audit), dim=-1)  # [steps, vocab]
    everything = None if sparse.config.k == 0 else 1.0  # is attended where no layer had to select
    mass, recall = mean(audit.masses, everything), mean(audit.recalls, everything)
    if dense is None:
        return Fidelity(found.shape[0], mass, recall, None, None)
    wanted = log_softmax(replay(dense, prompt, answer_ids), dim=-1)
    agreement = float((found.argmax(-1) == wanted.argmax(-1)).float().mean())
    divergence = float(kl_div(found, wanted, reduction="none", log_target=True).sum(-1).mean())
    return Fidelity(found.shape[0], mass, recall, agreement, divergence)


def replay(strategy: Strategy, prompt: Prompt, answer_ids: Sequence[int], audit: AttentionAudit | None = None) -> Tensor:
    """The logits that come before each token of a given answer and behind its last, [len(answer_ids) + 1, vocab] float32.

    audit: see `Request`. The cache is as before.
    """
    forced = _ForcedAnswer(answer_ids)
    request = Request(strategy, prompt, len(answer_ids) + 1, forced, audit=audit, ignore_eos=True)
    for _ in Engine(strategy.decoder).answer(request):
        pass
    return torch.stack(forced.logits)


class _ForcedAnswer:
    """Says the tokens of a given answer, whatever the model would say, and keeps what that was."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.logits: list[Tensor] = []
        self._token_ids = [*token_ids, -1]  # the last one is not run

    def next_token(self, logits: Tensor) -> int:
        """See `Chooser`."""
        self.logits.append(logits.clone())
        return self._token_ids[len(self.logits) - 1]


def pooled(parts: Sequence[Fidelity]) -> Fidelity:
    """The mean over the steps of all parts, of which there is at least one."""
    steps = sum(part.steps for part in parts)

    def over(values: Sequence[float | None]) -> float | None:
        kept = [(value, part.steps) for value, part in zip(values, parts, strict=True) if value is not None]
        return sum(value * n for value, n in kept) / sum(n for _, n in kept) if kept else None

    mass, recall = over([part.vote_mass for part in parts]), over([part.recall for part in parts])
    return Fidelity(steps, mass, recall, over([part.agreement for part in parts]), over([part.kl for part in parts]))


def mean(values: Sequence[float], otherwise: float | None) -> float | None:
    """The mean, `otherwise` of no values."""
    return sum(values) / len(values) if values else otherwise
