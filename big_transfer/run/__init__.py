"""Workdir, progress lines, TensorBoard files, device mesh, hardware, preemption, memory."""
