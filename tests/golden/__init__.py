"""The checkpoints that golden vectors belong to; no torch is imported here."""

IDENTITY = "torch.nn.modules.linear.Identity"
TANH = "torch.nn.modules.activation.Tanh"

# changes to the tiny shape; dense: (dimensions, bias, activation)
KINDS = {
    "relu": ({}, (48, False, IDENTITY)),
    "gated": ({"gated": True, "activation": "gelu_new"}, (48, False, IDENTITY)),
    "wide": ({"num_heads": 3, "d_kv": 24, "num_layers": 3, "relative_attention_num_buckets": 16}, (80, True, TANH)),
}
