"""Timing of prefill and decode at depth, dense and sparse in one run, in llama-bench's terms."""

from tscli.bench.attention import AttentionBench, AttentionRow, benchmark_attention
from tscli.bench.rows import BenchResult, BenchRow
from tscli.bench.run import benchmark

__all__ = ["AttentionBench", "AttentionRow", "BenchResult", "BenchRow", "benchmark", "benchmark_attention"]
