"""Operations as GPU kernels, compiled at run time, exact."""
