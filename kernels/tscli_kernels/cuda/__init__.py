"""The kernels in Triton, for CUDA. Imported only where a tensor is on a GPU, or where a test interprets them.

Each wrapper checks, allocates, launches and returns; nothing waits for the device. What they must compute is in
`tscli_kernels.reference`.
"""
