"""The loss on the votes against the engine's own functions: rotation, softmax per head, sum over heads and tokens."""

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.harness.reader_training.voting import DISTANCE, POOL, REACH, Asked, Voter
from tscli.model.rotary import Rotator
from tscli.selection.config import SelectionConfig
from tscli.selection.question_votes import QuestionVotes
from tscli_kernels import max_pool, soft_vote


def tiny() -> LlamaForCausalLM:
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def votes_of(model: LlamaForCausalLM, states: Tensor, keys: Tensor, asked: Asked) -> QuestionVotes:
    """One question's votes on keys [n, kv_heads, d], one token after the other, as the engine takes them."""
    layer, votes = model.model.layers[-1], QuestionVotes(1)
    rotator = Rotator(model.model.rotary_emb, apply_rotary_pos_emb, None, "default")
    for token in range(asked.start, asked.stop):
        query = layer.self_attn.q_proj(states[asked.row, token]).unflatten(-1, (4, 8))[:, None]  # [q_heads, 1, d]
        turned = rotator(query, torch.tensor([DISTANCE]), 1, length=DISTANCE + 1)[:, 0]
        votes.add(soft_vote(torch.stack([keys[:, head // 2] @ turned[head] for head in range(4)])))
    return votes


def candidates(model: LlamaForCausalLM, hidden: Tensor, document: Tensor) -> tuple[Tensor, Tensor]:
    layer = model.model.layers[-1]
    states = layer.input_layernorm(hidden)
    return states, layer.self_attn.k_proj(states)[document].unflatten(-1, (2, 8))


def batch(stops: tuple[int, ...], length: int) -> tuple[Tensor, Tensor]:
    document = torch.zeros(len(stops), length, dtype=torch.bool)
    for row, stop in enumerate(stops):
        document[row, 1:stop] = True
    return torch.randn(len(stops), length, 32), document


ASKED = [Asked(0, 50, 58, 61, 20, 22), Asked(2, 60, 63, 65, 2, 3), Asked(2, 65, 69, 70, 57, 60), Asked(1, 41, 49, 52, 38, 40)]


@torch.no_grad()
def test_the_loss_is_minus_the_log_of_the_share_of_the_engines_votes() -> None:
    model = tiny()
    hidden, document = batch((50, 41, 60), 70)
    states, keys = candidates(model, hidden, document)
    losses = []
    for asked in ASKED:
        everything = SelectionConfig(k=len(keys), n_init=0, n_local=0)
        selection = votes_of(model, states, keys, asked).selection(everything, len(keys))
        assert selection is not None
        mine = document[asked.row].nonzero()[:, 0]
        inside = (mine >= asked.source_start - REACH) & (mine < asked.source_stop + REACH)
        places = int(document[: asked.row].sum()) + inside.nonzero()[:, 0]
        losses.append(-torch.log(selection.votes[places].sum() / (4 * (asked.stop - asked.start)) + 1e-6))
    wanted = torch.stack(losses).mean()
    torch.testing.assert_close(Voter(model, 1).loss(hidden, document, ASKED), wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_question_selects_what_the_engine_selects_among_this_batch_and_those_before() -> None:
    model, voter = tiny(), Voter(tiny(), 2)
    batches = [batch((50, 41, 60), 70) for _ in range(3)]
    ids = [torch.arange(hidden[..., 0].numel()).view(hidden.shape[:2]) + 1000 * i for i, (hidden, _) in enumerate(batches)]
    for (hidden, document), tokens in zip(batches, ids, strict=True):
        chosen = voter.selected(hidden, document, tokens, ASKED, k=40)
    parts = [candidates(model, hidden, document) for hidden, document in batches[1:]]  # the first is forgotten
    states, keys = parts[-1][0], torch.cat([keys for _, keys in parts])
    kept = torch.cat([tokens[document] for (_, document), tokens in zip(batches[1:], ids[1:], strict=True)])
    for asked, got in zip(ASKED, chosen, strict=True):
        votes = votes_of(model, states, keys, asked)
        wanted = votes.selection(SelectionConfig(k=40, n_init=0, n_local=0, pool=POOL), len(keys))
        everything = votes.selection(SelectionConfig(k=len(keys), n_init=0, n_local=0), len(keys))
        assert wanted is not None
        assert everything is not None
        pooled = max_pool(everything.votes, POOL)
        places = torch.isin(kept, got).nonzero()[:, 0]
        assert len(places) == len(got) == 40
        # Pooled votes are equal in the reach of a peak, and which of the equal ones are cut off is not fixed: sums are.
        torch.testing.assert_close(pooled[places].sum(), pooled[wanted.positions].sum())


def test_banked_documents_get_no_gradient() -> None:
    model = tiny()
    hidden, document = batch((20, 20), 30)
    hidden.requires_grad_()
    voter = Voter(model, 2)
    assert not voter.selected(
        hidden, document, torch.zeros(2, 30, dtype=torch.long), [Asked(0, 20, 26, 28, 5, 6)], 8
    ).requires_grad
    assert all(not key.requires_grad for key, _ in voter._bank)
