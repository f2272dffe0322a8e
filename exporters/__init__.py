"""Merging, GGUF and ONNX writers, and the check that an export is what was trained."""
