"""Networks with a memory: LSTM and GRU, step by step and over whole sequences."""

__all__: list[str] = []
