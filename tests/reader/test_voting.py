"""The loss on the votes against the engine's own functions: rotation, softmax per head, sum over heads and tokens."""

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tscli.model.rotary import Rotator
from tscli.reader.voting import DISTANCE, REACH, Asked, VoteLoss
from tscli_kernels import soft_vote


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


def share(model: LlamaForCausalLM, hidden: Tensor, document: Tensor, asked: Asked, more: Tensor | None = None) -> Tensor:
    """The share of one question's votes on its answer's passage, one token after the other, as the engine votes."""
    layer = model.model.layers[-1]
    states = layer.input_layernorm(hidden)
    keys = layer.self_attn.k_proj(states)[document].unflatten(-1, (2, 8))  # [n, kv_heads, d]
    if more is not None:
        keys = torch.cat([keys, layer.self_attn.k_proj(layer.input_layernorm(more)).flatten(0, 1).unflatten(-1, (2, 8))])
    rotator = Rotator(model.model.rotary_emb, apply_rotary_pos_emb, None, "default")
    votes = torch.zeros(len(keys))
    for token in range(asked.start, asked.stop):
        query = layer.self_attn.q_proj(states[asked.row, token]).unflatten(-1, (4, 8))[:, None]  # [q_heads, 1, d]
        turned = rotator(query, torch.tensor([DISTANCE]), 1, length=DISTANCE + 1)[:, 0]
        scores = torch.stack([keys[:, head // 2] @ turned[head] for head in range(4)])
        votes += soft_vote(scores)
    before = int(document[: asked.row].sum())
    mine = document[asked.row].nonzero()[:, 0]
    inside = (mine >= asked.begin - REACH) & (mine < asked.end + REACH)
    place = before + inside.nonzero()[:, 0]
    return votes[place].sum() / (4 * (asked.stop - asked.start))


def test_the_loss_is_minus_the_log_of_the_share_of_the_engines_votes() -> None:
    model, rows, length = tiny(), 3, 70
    hidden = torch.randn(rows, length, 32)
    document = torch.zeros(rows, length, dtype=torch.bool)
    for row, stop in enumerate((50, 41, 60)):
        document[row, 1:stop] = True
    asked = [Asked(0, 50, 58, 20, 22), Asked(2, 60, 63, 2, 3), Asked(2, 63, 70, 57, 60), Asked(1, 41, 49, 38, 40)]
    with torch.no_grad():
        wanted = -torch.stack([torch.log(share(model, hidden, document, a) + 1e-6) for a in asked]).mean()
        torch.testing.assert_close(VoteLoss(model, 0)(hidden, document, asked), wanted, rtol=1e-4, atol=1e-5)


def test_banked_documents_draw_votes_but_no_gradient() -> None:
    model = tiny()
    earlier = torch.randn(2, 30, 32, requires_grad=True)
    hidden = torch.randn(2, 30, 32)
    document = torch.zeros(2, 30, dtype=torch.bool)
    document[:, 1:20] = True
    asked = [Asked(0, 20, 26, 5, 6)]
    banked = VoteLoss(model, 1)
    banked(earlier, document, asked)
    loss = banked(hidden, document, asked)
    loss.backward()
    assert earlier.grad is None
    with torch.no_grad():
        wanted = -torch.log(share(model, hidden, document, asked[0], earlier[:, 1:20]) + 1e-6)
    torch.testing.assert_close(loss.detach(), wanted, rtol=1e-4, atol=1e-5)
    assert loss > VoteLoss(model, 0)(hidden, document, asked)
