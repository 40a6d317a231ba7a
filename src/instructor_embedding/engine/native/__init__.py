"""The engine's sources in C and what compiles them."""
