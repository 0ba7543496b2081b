"""The models of the published API: each a `torch.nn.Module` over whatever backend is named."""
