"""Operations in PyTorch operators: on any device, exact."""
