"""The one loader of GPU programs: compiled at run time for CUDA and ROCm, kept in the user's cache folder."""
