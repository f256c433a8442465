"""What is raised for arguments that cannot be used: by Python's custom, and by that of the primitives' other doors."""


class ArgumentError(ValueError, RuntimeError):
    """A tensor of the wrong shape, dtype or device, or a value out of range."""


class KindError(TypeError, AssertionError):
    """An argument of the wrong Python type, or one that goes with none of the others."""


class ModeError(ValueError, KeyError):
    """A name that is no mode."""

    __str__ = Exception.__str__  # KeyError shows the repr of its text
