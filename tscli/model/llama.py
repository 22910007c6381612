"""The Llama family (Llama, Mistral, Qwen 2 and 3 without sliding windows) in a few plain lines, without transformers' code.

Importing that code takes longer than answering, and so do its layers for a small model. Nothing runs by this that does not fit
exactly, down to the names of the weights; and every ingest compares it with transformers (`parity`). Knows no libraries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from tscli.model.decoder import Decoder, Shape
from tscli.model.few_bits import are_packed, packed_weights, stored_bits
from tscli.model.four_bits import Packed
from tscli.model.gguf_header import OnStep
from tscli.model.linear import Kind, Linear
from tscli.model.rotary import plain_rotator
from tscli.model.step import LayerCall, Run

KINDS = ("llama", "mistral", "qwen2", "qwen3")
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "rms_norm_eps", "max_position_embeddings")
NAMES = re.compile(
    r"lm_head\.weight|model\.(embed_tokens|norm)\.weight|model\.layers\.\d+\.("
    r"(input_layernorm|post_attention_layernorm|self_attn\.[qk]_norm)\.weight|"
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)\.(weight|bias))"
)
PARTS = {  # of a layer: weights that read the same input lie behind each other in one matrix
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
IGNORED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


@dataclass(frozen=True)
class Layer:
    """One layer's weights, by the names of PARTS."""

    attention_norm: Tensor
    qkv: Linear
    query_norm: Tensor | None
    key_norm: Tensor | None
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


class LlamaDecoder(Decoder):
    """Embedding, layers of attention and gated feed-forward, norm, head."""

    def __init__(
        self, shape: Shape, tensors: dict[str, Tensor], eps: float, model_id: str, folder: Path, device: torch.device
    ) -> None:
        embedding = tensors["model.embed_tokens.weight"]
        super().__init__(shape, plain_rotator(shape.head_dim, shape.rope, device), model_id, folder, embedding.dtype, device)
        self._eps = eps
        self._embedding = embedding
        self.num_parameters = sum(tensor.numel() for tensor in tensors.values())
        self._layers = [_layer(tensors, f"model.layers.{number}.") for number in range(self.layers)]
        self._packed: dict[int, dict[str, Packed]] = {}  # by bits and name: for few tokens of an answer, once they are wanted
        self._small: dict[tuple[int, ...], tuple[list[Layer], Linear]] = {}  # layers and head with those of so many bits
        self._norm = tensors["model.norm.weight"]
        self._head = Linear(tensors.get("lm_head.weight", embedding), None)

    def _run(self, token_ids: Tensor, run: Run, ends: list[int]) -> Tensor | None:
        x = self._last_states(token_ids, run, ends)
        return None if x is None else self._weights_for(self.runs_by)[1](x).float()

    def _shortlist_logits(self, token_ids: Tensor, run: Run, ends: list[int], shortlist: Tensor) -> Tensor:
        x = self._last_states(token_ids, run, ends)
        assert x is not None
        return self._head.of_outputs(shortlist)(x).float()

    def _last_states(self, token_ids: Tensor, run: Run, ends: list[int]) -> Tensor | None:
        """What the head makes logits of, of the rows `ends`: [ends, hidden]; None where there are none."""
        heads, kv_heads, size = self.q_heads, self.kv_heads, self.head_dim
        x = self._embedding[token_ids]  # [t, hidden]
        for number, layer in enumerate(self._weights_for(self.runs_by)[0]):
            projected = layer.qkv(self._normed(x, layer.attention_norm))
            stacked = projected.view(-1, heads + 2 * kv_heads, size).transpose(0, 1)  # [heads, t, head_dim]
            query, key, value = stacked.split([heads, kv_heads, kv_heads])
            if layer.query_norm is not None and layer.key_norm is not None:
                query, key = self._normed(query, layer.query_norm), self._normed(key, layer.key_norm)
            call = LayerCall(number, size**-0.5, None, None)
            if not ends and number == self.layers - 1:
                run.keep(query, key, value, call)  # nothing reads what this layer would give
                return None
            attended = run(query, key, value, call).transpose(0, 1).flatten(1)
            if number == self.layers - 1:  # nothing reads what it would make of the others
                x, attended = (part[-1:] if ends == [len(part) - 1] else part[ends] for part in (x, attended))
            x = x + layer.out(attended)
            gate, up = layer.gate_up(self._normed(x, layer.mlp_norm)).chunk(2, dim=-1)
            x = x + layer.down(silu(gate) * up)
        return self._normed(x, self._norm)

    def _file_bits(self) -> tuple[int, ...]:
        return stored_bits(self.folder)

    def use_few_bits(self, on_step: OnStep | None = None, *, lasting: bool = False) -> None:
        super().use_few_bits(on_step, lasting=lasting)
        if 8 in self.few_bits and not are_packed(self.folder, self.dtype, in_blocks=self.in_blocks):  # it takes many seconds
            self._pack(on_step)

    def _pack(self, on_step: OnStep | None = None) -> None:
        sources = _sources(self.layers, self._head_name)
        how = {"in_blocks": self.in_blocks}
        self._packed = packed_weights(self.folder, self.few_bits, self.dtype, sources, on_step, **how)

    def _weights_for(self, bits: tuple[int, ...]) -> tuple[list[Layer], Linear]:
        """The layers and the head, with those of their matrices that the model's file has in so many bits."""
        if not bits:
            return self._layers, self._head
        if bits not in self._small:
            if not self._packed:
                self._pack()
            layers, head = list(self._layers), self._head
            for one in bits:
                kind: Kind = "blocks" if self.in_blocks else "int4" if one == 4 else "nibbles"
                layers = [_by_few_bits(layer, self._packed[one], kind, number) for number, layer in enumerate(layers)]
                head = head.to_packed(self._packed[one]["head"], kind) if "head" in self._packed[one] else head
            self._small[bits] = layers, head
        return self._small[bits]

    @property
    def _head_name(self) -> str:
        return "model.embed_tokens.weight" if self._head.weight is self._embedding else "lm_head.weight"

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight.shape, weight, self._eps)

    @property
    def weights(self) -> list[Tensor]:
        """All that is held of the parameters, each once."""
        found = [self._embedding, self._norm, *self._head.tensors]
        found += [part for named in self._packed.values() for pair in named.values() for part in pair]
        for layer in self._layers:
            norms = (layer.attention_norm, layer.mlp_norm, layer.query_norm, layer.key_norm)
            found += [norm for norm in norms if norm is not None]
            found += [part for step in (layer.qkv, layer.out, layer.gate_up, layer.down) for part in step.tensors]
        return list({id(tensor): tensor for tensor in found}.values())

    def _replace_linears(self, other: Callable[[Linear], Linear], *, head: bool) -> None:
        self._packed, self._small = {}, {}
        self._head = other(self._head) if head else self._head
        for number, layer in enumerate(self._layers):  # one by one, so that no more than a layer is held twice
            parts: dict[str, Any] = {name: other(getattr(layer, name)) for name in ("qkv", "out", "gate_up", "down")}
            self._layers[number] = replace(layer, **parts)

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """The weights by the names that transformers gives them; views, no copies."""
        found = {"model.embed_tokens.weight": self._embedding, "model.norm.weight": self._norm}
        if self._head.weight is not self._embedding:
            found["lm_head.weight"] = self._head.weight
        sizes = {"q": self.q_heads * self.head_dim, "k": self.kv_heads * self.head_dim, "v": self.kv_heads * self.head_dim}
        for number, layer in enumerate(self._layers):
            at = f"model.layers.{number}."
            found |= {
                at + "input_layernorm.weight": layer.attention_norm,
                at + "post_attention_layernorm.weight": layer.mlp_norm,
            }
            if layer.query_norm is not None and layer.key_norm is not None:
                found |= {at + "self_attn.q_norm.weight": layer.query_norm, at + "self_attn.k_norm.weight": layer.key_norm}
            half = layer.gate_up.weight.shape[0] // 2
            found |= _apart(layer.qkv, {f"{at}self_attn.{name}_proj": size for name, size in sizes.items()})
            found |= _apart(layer.gate_up, {f"{at}mlp.{name}_proj": half for name in ("gate", "up")})
            found |= _apart(layer.out, {at + "self_attn.o_proj": layer.out.weight.shape[0]})
            found |= _apart(layer.down, {at + "mlp.down_proj": layer.down.weight.shape[0]})
        return found

    @torch.inference_mode()
    def reference_logits(self, token_ids: Tensor) -> Tensor:
        """What transformers computes with these very weights, as long as they are full, for token_ids (int64 [t]) in one pass:
        [t, vocab] float32."""
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(self.folder)
        with torch.device("meta"):
            module = AutoModelForCausalLM.from_config(config).eval()
        module.model.rotary_emb = type(module.model.rotary_emb)(config).to(self.device)
        module.load_state_dict(self._tensors, strict=False, assign=True)
        module.tie_weights()
        logits: Tensor = module(token_ids[None], use_cache=False).logits[0].float()
        return logits


class Misfit(Exception):
    """Why a model whose architecture is run here does not fit all the same; "" where it is of another architecture."""


def load_llama(model: str, folder: Path, dtype: torch.dtype, device: torch.device) -> LlamaDecoder:
    """The model by this module's lines; Misfit where it does not fit them or cannot be read, as transformers may."""
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text())
        shape = plain_shape(config)
        tensors = {name: part.to(device, dtype) for file in weight_files(folder) for name, part in load_file(file).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise Misfit((str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    tensors = {name: part for name, part in tensors.items() if not IGNORED.fullmatch(name)}
    if config.get("tie_word_embeddings"):
        tensors.pop("lm_head.weight", None)
    if problem := _incomplete(tensors, shape, config):
        raise Misfit(problem)
    return LlamaDecoder(shape, tensors, float(config["rms_norm_eps"]), model, folder, device)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: those of the index where there is one (others hold the same once more), else all."""
    indices = list(folder.glob("*.safetensors.index.json"))
    if not indices:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise Misfit("its weights are in no .safetensors file")
        return files
    named = {name for index in indices for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    return [folder / name for name in sorted(named)]


def plain_shape(config: dict[str, Any]) -> Shape:
    """The shape that a configuration describes; Misfit where it asks for anything that is not done here."""
    kind = config.get("model_type")
    if kind not in KINDS:
        raise Misfit
    windowed = config.get("sliding_window", 4096) if kind == "mistral" else config.get("use_sliding_window")
    rope = _rope(config)
    missing = [name for name in NEEDED if config.get(name) is None]
    asked = {
        f"its configuration has no {missing[0]}" if missing else "": bool(missing),
        "it has sliding windows": windowed or any(name != "full_attention" for name in config.get("layer_types") or ()),
        f"its activation is {config.get('hidden_act')}": config.get("hidden_act", "silu") != "silu",
        "its weights are quantised": config.get("quantization_config"),
        f"its positions are scaled as {rope.get('rope_type')}": rope.get("rope_type") not in ("default", "linear", "llama3"),
        "only a part of each head is rotated": float(rope.get("partial_rotary_factor", 1.0)) != 1.0,
    }
    if wrong := [what for what, found in asked.items() if found]:
        raise Misfit(wrong[0])
    heads = int(config["num_attention_heads"])
    return Shape(
        kind=str(kind),
        vocab_size=int(config["vocab_size"]),
        q_heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        window=int(config["max_position_embeddings"]),
        sliding=(None,) * int(config["num_hidden_layers"]),
        rope=rope,
    )


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary embedding's parameters, which older files spread over two places, as transformers 5 has them."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_type", rope.pop("type", "default"))
    if "rope_theta" in config:
        rope.setdefault("rope_theta", config["rope_theta"])
    return rope if "rope_theta" in rope else {}


def _incomplete(tensors: dict[str, Tensor], shape: Shape, config: dict[str, Any]) -> str:
    """Which weight such a model has not, or this one lacks; "" where these are all, and no others."""
    strange = sorted(name for name in tensors if not NAMES.fullmatch(name))
    if strange:
        return f"it has unknown weights ({strange[0]})"
    if "lm_head.weight" not in tensors and not config.get("tie_word_embeddings"):
        return "it lacks weights (lm_head.weight)"
    parts = ("input_layernorm", "post_attention_layernorm", *(f"self_attn.{name}_proj" for name in "qkvo"))
    parts += tuple(f"mlp.{name}_proj" for name in ("gate", "up", "down"))
    wanted = {f"model.layers.{number}.{part}.weight" for number in range(len(shape.sliding)) for part in parts}
    if shape.kind == "qwen3":
        wanted |= {f"model.layers.{n}.self_attn.{part}_norm.weight" for n in range(len(shape.sliding)) for part in "qk"}
    wanted |= {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"} - ({"lm_head.weight"} - set(tensors))
    found = {name for name in tensors if not name.endswith(".bias")}
    if wanted == found:
        return ""
    lacking, more = sorted(wanted - found), sorted(found - wanted)
    return f"it lacks weights ({lacking[0]})" if lacking else f"it has unknown weights ({more[0]})"


def _layer(tensors: dict[str, Tensor], at: str) -> Layer:
    """A layer of the named weights, which it takes out of `tensors` so that none is held twice."""
    return Layer(
        attention_norm=tensors.pop(at + "input_layernorm.weight"),
        query_norm=tensors.pop(at + "self_attn.q_norm.weight", None),
        key_norm=tensors.pop(at + "self_attn.k_norm.weight", None),
        mlp_norm=tensors.pop(at + "post_attention_layernorm.weight"),
        **{part: _together(tensors, [at + name for name in names]) for part, names in PARTS.items()},
    )


def _sources(layers: int, head: str) -> dict[str, list[str]]:
    """Of which of a file's weights each matrix of the layers, by number and name, and the head are made."""
    every = {
        f"{number}.{part}": [f"model.layers.{number}.{name}.weight" for name in names]
        for number in range(layers)
        for part, names in PARTS.items()
    }
    return {**every, "head": [head]}


def _by_few_bits(layer: Layer, packed: dict[str, Packed], kind: Kind, number: int) -> Layer:
    """The layer with those of its matrices that are packed."""
    own = {part: packed[f"{number}.{part}"] for part in PARTS if f"{number}.{part}" in packed}
    return replace(layer, **{part: getattr(layer, part).to_packed(pair, kind) for part, pair in own.items()})


def _together(tensors: dict[str, Tensor], names: list[str]) -> Linear:
    """Weights and biases of these projections in one matrix and one vector; a missing bias beside others is zero."""
    weights = [tensors.pop(f"{name}.weight") for name in names]
    biases = [tensors.pop(f"{name}.bias", None) for name in names]
    joined = torch.cat(weights) if len(weights) > 1 else weights[0]
    if all(bias is None for bias in biases):
        return Linear(joined, None)
    full = [w.new_zeros(w.shape[0]) if bias is None else bias for w, bias in zip(weights, biases, strict=True)]
    return Linear(joined, torch.cat(full))


def _apart(joined: Linear, sizes: dict[str, int]) -> dict[str, Tensor]:
    """Views of the weights and biases that `_together` put into one."""
    weight, bias = joined.weight, joined.bias
    found = {f"{name}.weight": part for name, part in zip(sizes, weight.split(list(sizes.values())), strict=True)}
    if bias is not None:
        found |= {f"{name}.bias": part for name, part in zip(sizes, bias.split(list(sizes.values())), strict=True)}
    return found
