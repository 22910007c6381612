"""The same functions compiled by numba for the processor at hand, once per machine: at the memory's speed.

Imported only by the dispatchers beside this folder, for float32 and bfloat16 tensors on the CPU.
"""
