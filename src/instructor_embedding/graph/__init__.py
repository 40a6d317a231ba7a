"""The model as an ONNX graph."""
