"""Fast matrix products on a CPU: packed matrices, blocked products, workspaces, threads. Knows no network.

Packed and blocked products
---------------------------
A BLAS copies ("packs") both operands of a product into its own order before it multiplies them. Where one operand is
a state of a few rows, packing the other, the weights, takes as long as the multiplication.

OpenBLAS packs nothing if the product is small and the processor has AVX-512 (`blas.py`). There the products are cut
into small ones:

- `PackedMatrix` lays a matrix out once in blocks of 64 or 32 columns, for the steps and windows of a recurrence. If
  its columns are too long for a small product, they are cut into parts, whose products are summed.
- `multiply_rows` multiplies many rows by a small matrix, a few rows at a time.
- `write_gradient` sums x^T y over many rows, a block of the result and a few hundred rows at a time.

With any other BLAS all of these are plain products, as large as possible. `python -m benchmarks products` compares
the two.
"""
