"""The hot loops of genomics, as compiled Python: buffers in, buffers out, no object per variant.

The build compiles each file to machine code where it can; elsewhere the same file runs as plain Python with the same
answers (`docs/explanation/native-kernels.md`). A `.pxd` beside a kernel tells the other kernels what they may call.
"""
